#include "agent/http/target.h"

#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "agent/base/format.h"

namespace prebake::http {
namespace {

/// The kernel wants a NUL after the path.
constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;

/// A header with a line break would be two headers.
void refuse_control_characters(const Headers& headers) {
    for (const auto& [name, value] : headers) {
        const bool is_clean = std::ranges::none_of(
            name + value, [](char c) { return static_cast<unsigned char>(c) < ' '; });
        if (is_clean) continue;
        throw Error(Errc::usage, "the header " + name + " would have control characters");
    }
}

/// Different for different settings: a connection that one request was content with must not serve
/// another that wants more, or another client certificate.
std::string key_of(const TlsSettings& tls) {
    std::string key = tls.verification == TlsVerification::none ? " unverified" : "";
    // No file name has a NUL.
    for (const std::string& file : tls.ca_files) key += std::string("\0ca ", 4) + file;
    for (const ClientCertificate& each : tls.client_certificates) {
        key += std::string("\0client ", 8) + each.certificate + '\0' + each.key;
    }
    return key;
}

std::string text_of_headers(const Headers& headers) {
    std::string text;
    for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
    return text + "\r\n";
}

void add_proxy_authorization(Headers& headers, const Proxy& proxy) {
    if (!proxy.authorization.empty()) {
        headers.emplace_back("Proxy-Authorization", proxy.authorization);
    }
}

}  // namespace

bool Target::is_allowed(const Address& address) const {
    return allows_link_local || !is_link_local(address);
}

Error Target::not_allowed() const {
    return Error(Errc::permission_denied,
                 peer +
                     " has a link-local address, where a cloud serves the credentials of this "
                     "machine",
                 "find out who made the server refer to it; a registry has no reason to");
}

Target::Clock::time_point Target::within(std::chrono::milliseconds limit) const {
    return std::min(Clock::now() + limit, deadline);
}

Error Target::timed_out(const std::string& phase, std::chrono::milliseconds limit) const {
    const bool is_whole = time_limit && Clock::now() >= deadline;
    return Error(Errc::timed_out,
                 is_whole ? peer + " did not answer within " + format_duration(*time_limit)
                          : phase + " " + format_duration(limit));
}

Target target_of(const Request& request, const ProxySettings& proxies,
                 Target::Clock::time_point now) {
    Target target{.url = parse_url(request.url),
                  .unix_socket = request.unix_socket,
                  .tls = request.tls,
                  .proxy = {},
                  .peer = {},
                  .pool_key = {},
                  .allows_link_local = request.allows_link_local,
                  .connect_timeout = request.connect_timeout,
                  .stall_timeout = request.stall_timeout,
                  .time_limit = request.time_limit};
    refuse_control_characters(request.headers);
    if (request.time_limit) target.deadline = now + *request.time_limit;
    if (!target.unix_socket.empty()) {
        if (target.url.tls || target.unix_socket.size() > kMaxSocketPath) {
            throw Error(Errc::usage, "\"" + target.unix_socket + "\" cannot be a unix socket");
        }
        target.peer = target.unix_socket;
        target.pool_key = "unix " + target.unix_socket;
        return target;
    }
    target.proxy = proxy_for(proxies, target.url);
    target.peer = target.url.authority();
    target.pool_key = target.url.origin();
    if (target.url.tls) target.pool_key += key_of(request.tls);
    if (target.proxy) {
        target.peer += " (through " + target.proxy->name() + ")";
        target.pool_key += " via " + target.proxy->server.origin();
    }
    // A connection that was made without the check must not be used where it is wanted.
    if (!request.allows_link_local) target.pool_key += " routable";
    return target;
}

std::string text_of(const Request& request, const Target& target, const std::string& user_agent) {
    // Digests and ranges are over the bytes as they are stored.
    Headers headers{{"Host", target.url.host_header},
                    {"User-Agent", user_agent},
                    {"Accept-Encoding", "identity"}};
    std::string uri = target.url.target;
    if (target.proxy && !target.is_tunnelled()) {
        uri.insert(0, "http://" + target.url.host_header);
        add_proxy_authorization(headers, *target.proxy);
    }
    std::erase_if(headers, [&](const auto& ours) {
        return find_header(request.headers, ours.first).has_value();
    });
    headers.insert(headers.end(), request.headers.begin(), request.headers.end());
    const bool has_body = request.method == Method::post || request.method == Method::put;
    const bool has_upload = request.upload != nullptr;
    const std::uint64_t length = has_upload ? request.upload_bytes : request.body.size();
    if (has_body) set_header(headers, "Content-Length", std::to_string(length));
    return std::string(to_string(request.method)) + " " + uri + " HTTP/1.1\r\n" +
           text_of_headers(headers) + (has_body && !has_upload ? request.body : "");
}

std::string text_of_connect(const Target& target, const std::string& user_agent) {
    const std::string authority = target.url.authority();
    Headers headers{{"Host", authority}, {"User-Agent", user_agent}};
    add_proxy_authorization(headers, *target.proxy);
    return "CONNECT " + authority + " HTTP/1.1\r\n" + text_of_headers(headers);
}

}  // namespace prebake::http
