#include "agent/registry/status.h"

#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <span>

#include "agent/base/error.h"
#include "agent/registry/retry.h"

namespace prebake::registry {
namespace {

constexpr std::size_t kMaxPrintable = 300;

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

bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

}  // namespace

std::optional<std::string> read_up_to(Source& source, std::size_t limit) {
    std::string bytes;
    std::array<char, 16384> buffer;
    for (;;) {
        const std::size_t got = source.read(std::as_writable_bytes(std::span(buffer)));
        bytes.append(buffer.data(), got);
        if (bytes.size() > limit) return std::nullopt;
        if (got == 0) return bytes;
    }
}

void discard_body(HttpResponse& response) {
    if (response.content_length.value_or(0) > kMaxErrorBytes) return;
    try {
        read_up_to(response, kMaxErrorBytes);
    } catch (const Error&) {
        // The connection is closed instead of being used again; the answer itself was complete.
        return;
    }
}

std::string printable(std::string_view text) {
    std::string line;
    for (std::size_t i = 0; i < text.size() && line.size() < kMaxPrintable; ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const bool c1_control =  // U+0080 to U+009F: terminals obey these too
            c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
        if (c1_control) ++i;
        line.push_back(c < 0x20 || c == 0x7F || c1_control ? ' ' : text[i]);
    }
    if (line.size() == kMaxPrintable) {
        // Do not end in the middle of a UTF-8 sequence.
        while (!line.empty() && is_continuation(line.back())) line.pop_back();
        if (!line.empty() && static_cast<unsigned char>(line.back()) >= 0xC0) line.pop_back();
    }
    return line;
}

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
    return printable(text);
}

void throw_status(HttpResponse& response, const std::string& who, const std::string& login_hint) {
    const Meaning meaning = meaning_of(response.status);
    std::string message =
        who + " answers " + std::to_string(response.status) + " " + std::string(meaning.words);
    try {
        const std::string said = diagnosis(read_up_to(response, kMaxErrorBytes).value_or(""));
        if (!said.empty()) message += " (" + said + ")";
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        // An explanation that breaks off does not change what the status says.
    }
    const Error error(meaning.code, message,
                      meaning.next_step.empty() ? login_hint : std::string(meaning.next_step));
    if (const auto header = find_header(response.headers, "Retry-After")) {
        const auto later = parse_retry_after(*header, std::chrono::system_clock::now());
        if (later) throw RetryLaterError(error, *later);
    }
    throw Error(error);
}

}  // namespace prebake::registry
