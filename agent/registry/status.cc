#include "agent/registry/status.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/registry/challenge.h"
#include "agent/registry/diagnosis.h"
#include "agent/registry/retry.h"

namespace prebake::registry {
namespace {

/// The names of the statuses that people meet (RFC 9110 section 15, RFC 6585). A response over
/// HTTP/2, or through a proxy that speaks it, has none of its own.
struct Name {
    int status;
    std::string_view name;
};
constexpr std::array kNames{
    Name{300, "Multiple Choices"},
    Name{304, "Not Modified"},
    Name{400, "Bad Request"},
    Name{401, "Unauthorized"},
    Name{402, "Payment Required"},
    Name{403, "Forbidden"},
    Name{404, "Not Found"},
    Name{405, "Method Not Allowed"},
    Name{406, "Not Acceptable"},
    Name{407, "Proxy Authentication Required"},
    Name{408, "Request Timeout"},
    Name{409, "Conflict"},
    Name{410, "Gone"},
    Name{411, "Length Required"},
    Name{412, "Precondition Failed"},
    Name{413, "Content Too Large"},
    Name{414, "URI Too Long"},
    Name{415, "Unsupported Media Type"},
    Name{416, "Range Not Satisfiable"},
    Name{421, "Misdirected Request"},
    Name{422, "Unprocessable Content"},
    Name{423, "Locked"},
    Name{425, "Too Early"},
    Name{426, "Upgrade Required"},
    Name{428, "Precondition Required"},
    Name{429, "Too Many Requests"},
    Name{431, "Request Header Fields Too Large"},
    Name{451, "Unavailable For Legal Reasons"},
    Name{500, "Internal Server Error"},
    Name{501, "Not Implemented"},
    Name{502, "Bad Gateway"},
    Name{503, "Service Unavailable"},
    Name{504, "Gateway Timeout"},
    Name{505, "HTTP Version Not Supported"},
    Name{507, "Insufficient Storage"},
    Name{511, "Network Authentication Required"},
};

std::string named(int status) {
    const auto* const found = std::ranges::find(kNames, status, &Name::status);
    const std::string number = std::to_string(status);
    return found == kNames.end() ? number : number + " " + std::string(found->name);
}

struct Meaning {
    Errc code;
    std::string_view next_step;
};

/// An empty next step stands for the login hint.
Meaning meaning_of(int status, bool has_reason) {
    switch (status) {
        case 401:
            return {Errc::unauthenticated, ""};
        case 402:
        case 403:
        case 451:
            return {Errc::permission_denied, ""};
        case 404:
        case 410:
            return {Errc::not_found, "check its name, tag and digest"};
        case 408:
        case 425:
            return {Errc::unavailable, "try again later"};
        case 412:
        case 423:
            return {Errc::failed_precondition,
                    "ask the administrator of the registry, which has a rule against it"};
        case 429:
            return {Errc::rate_limited,
                    "try again later, or log in (docker login, or --authfile FILE): many "
                    "registries allow more to clients that do"};
        case 501:
        case 505:
        case 511:
            break;
        default:
            if (status >= 500 && status <= 599) return {Errc::unavailable, "try again later"};
    }
    return {Errc::unsupported,
            has_reason ? "ask the administrator of the registry if its reason is not clear"
                       : "check that this is an OCI registry, and which proxies are in between"};
}

/// What the response gives as its reason, beside the name of the status.
std::string reason_of(http::Response& response) {
    std::string body(kMaxErrorBytes, '\0');
    try {
        body.resize(response.read(std::as_writable_bytes(std::span(body))));
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        return {};  // the status is clear without it
    }
    std::string reason = diagnosis(body, response.secrets);
    const auto challenges =
        parse_challenges(http::find_headers(response.headers, "WWW-Authenticate"));
    for (const char* const name : {"error_description", "error"}) {
        // RFC 6750 section 3.1: insufficient_scope
        for (const Challenge& challenge : challenges) {
            if (reason.empty()) reason = diagnosis(challenge.parameter(name), response.secrets);
        }
    }
    const bool is_repetition = lower_case(named(response.status)).ends_with(lower_case(reason));
    return is_repetition ? std::string() : reason;
}

}  // namespace

void throw_status(http::Response& response, const std::string& who, const std::string& login_hint) {
    const std::string reason = reason_of(response);
    std::string message = who + " answers " + named(response.status);
    if (!reason.empty()) message += " (" + reason + ")";
    const Meaning meaning = meaning_of(response.status, !reason.empty());
    const Error error(meaning.code, message,
                      meaning.next_step.empty() ? login_hint : std::string(meaning.next_step));
    const auto challenges =
        parse_challenges(http::find_headers(response.headers, "WWW-Authenticate"));
    const Challenge* const wanted = preferred_challenge(challenges);
    if (response.status == 401 && wanted != nullptr && wanted->scheme == "basic") {
        throw Error(error);
    }
    std::optional<std::chrono::milliseconds> later;
    if (const auto header = http::find_header(response.headers, "Retry-After")) {
        later = parse_retry_after(*header, std::chrono::system_clock::now());
    }
    throw ResponseError(error, response.status, later);
}

}  // namespace prebake::registry
