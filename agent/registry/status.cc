#include "agent/registry/status.h"

#include <boost/json.hpp>
#include <chrono>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/stream.h"
#include "agent/registry/retry.h"

namespace prebake::registry {
namespace {

constexpr std::size_t kMaxDiagnosisBytes = 300;

struct Meaning {
    Errc code;
    std::string_view words;
    std::string_view next_step;  ///< empty: the login hint
};

Meaning meaning_of(int status) {
    switch (status) {
        case 401:
            return {Errc::unauthenticated, "Unauthorized", ""};
        case 402:
        case 403:
        case 451:
            return {Errc::permission_denied, "Forbidden", ""};
        case 404:
        case 410:
            return {Errc::not_found, "Not Found", "check its name, tag and digest"};
        case 408:
            return {Errc::unavailable, "Request Timeout", "try again later"};
        case 429:
            return {Errc::rate_limited, "Too Many Requests",
                    "try again later; many registries allow more to clients that log in"};
        default:
            break;
    }
    if (status >= 500 && status <= 599)
        return {Errc::unavailable, "Server Error", "try again later"};
    return {Errc::unsupported, "which prebake does not expect",
            "check that this is an OCI registry"};
}

}  // namespace

std::string diagnosis(std::string_view body) {
    boost::system::error_code failure;
    const boost::json::value document = boost::json::parse(body, failure);
    if (failure || !document.is_object()) return {};
    const auto* errors = document.as_object().if_contains("errors");
    if (errors == nullptr || !errors->is_array() || errors->as_array().empty()) return {};
    const auto* first = errors->as_array().front().if_object();
    if (first == nullptr) return {};
    std::string text;
    for (const std::string_view key : {"code", "message"}) {
        const auto* value = first->if_contains(key);
        if (value == nullptr || !value->is_string() || value->as_string().empty()) continue;
        if (!text.empty()) text += ": ";
        text += std::string_view(value->as_string());
    }
    return shorten(printable(text), kMaxDiagnosisBytes);
}

void throw_status(http::Response& response, const std::string& who, const std::string& login_hint) {
    const Meaning meaning = meaning_of(response.status);
    std::string message =
        who + " answers " + std::to_string(response.status) + " " + std::string(meaning.words);
    try {
        const std::string said = diagnosis(read_up_to(response, kMaxErrorBytes).value_or(""));
        if (!said.empty()) message += " (" + said + ")";
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        // The status is clear without the explanation.
    }
    const Error error(meaning.code, message,
                      meaning.next_step.empty() ? login_hint : std::string(meaning.next_step));
    if (const auto header = http::find_header(response.headers, "Retry-After")) {
        const auto later = parse_retry_after(*header, std::chrono::system_clock::now());
        if (later) throw RetryLaterError(error, *later);
    }
    throw Error(error);
}

}  // namespace prebake::registry
