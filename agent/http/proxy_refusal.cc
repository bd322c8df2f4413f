#include "agent/http/proxy_refusal.h"

#include <algorithm>
#include <vector>

#include "agent/base/format.h"
#include "agent/base/text.h"

namespace prebake::http {
namespace {

constexpr std::size_t kMaxReasonBytes = 200;

/// "Basic, Negotiate": the schemes that the proxy accepts.
std::string schemes_in(const Headers& headers) {
    std::vector<std::string> schemes;
    for (const std::string& challenge : find_headers(headers, "Proxy-Authenticate")) {
        schemes.push_back(challenge.substr(0, challenge.find(' ')));
    }
    return shorten(printable(joined(schemes)), kMaxReasonBytes);
}

Error wants_credentials(const Target& target, const std::string& answer, const Headers& headers) {
    const Proxy& proxy = *target.proxy;
    const std::string schemes = schemes_in(headers);
    const bool takes_basic = schemes.empty() || lower_case(schemes).find("basic") != schemes.npos;
    if (!takes_basic) {
        return Error(Errc::unsupported,
                     proxy.name() + " wants credentials (" + answer +
                         ") in a form that prebake "
                         "does not have: " +
                         schemes,
                     "let it accept Basic, or let it serve this machine without credentials");
    }
    if (proxy.authorization.empty()) {
        return Error(Errc::unauthenticated, proxy.name() + " wants credentials (" + answer + ")",
                     "write them into " + proxy.source + ", as http://USER:PASSWORD@HOST:PORT");
    }
    return Error(Errc::unauthenticated,
                 proxy.name() + " refuses the user name or the password (" + answer + ")",
                 "correct them in " + proxy.source +
                     "; what is neither a letter nor a digit has to be percent-encoded");
}

}  // namespace

Error proxy_refusal(const Target& target, int status, const std::string& reason,
                    const Headers& headers) {
    const std::string answer = shorten(
        std::to_string(status) + (reason.empty() ? "" : " ") + printable(reason), kMaxReasonBytes);
    const std::string name = target.proxy->name();
    const std::string host = target.host();
    // tinyproxy answers wrong credentials with 401. A tunnel is refused by the proxy alone.
    if (status == 407 || status == 401) return wants_credentials(target, answer, headers);
    if (status == 403) {
        return Error(Errc::permission_denied,
                     name + " refuses to connect to " + host + ": " + answer,
                     "let it allow CONNECT to that host and port, or " + way_around_proxy(target));
    }
    if (status == 429) {
        return Error(Errc::rate_limited, name + " limits connections: " + answer);
    }
    if (status >= 500 && status != 501) {
        return Error(Errc::unavailable, name + " cannot connect to " + host + ": " + answer,
                     "check the name of the host, or " + way_around_proxy(target));
    }
    return Error(
        Errc::unsupported, name + " does not connect to " + host + ": " + answer,
        "check " + target.proxy->source + ": it has to name an HTTP proxy that allows CONNECT");
}

std::string way_around_proxy(const Target& target) {
    return "exempt " + target.url.host + " from the proxy (NO_PROXY or registry.no_proxy)";
}

}  // namespace prebake::http
