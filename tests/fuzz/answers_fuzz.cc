// What registries, token services and storage answer: challenges, tokens, reasons, URLs, headers.
// The first byte chooses which.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/http/url.h"
#include "agent/registry/challenge.h"
#include "agent/registry/diagnosis.h"
#include "agent/registry/rate_limit.h"
#include "agent/registry/retry.h"
#include "agent/registry/token.h"

namespace http = prebake::http;
namespace registry = prebake::registry;
using prebake::Errc;
using prebake::Error;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

bool is_visible(char c) {
    return c > ' ' && c < '\x7F';
}

void check_challenges(std::string_view text) {
    const auto challenges = registry::parse_challenges({std::string(text)});
    const registry::Challenge* const chosen = registry::preferred_challenge(challenges);
    if (chosen == nullptr) return;
    require(chosen->scheme == "basic" || !chosen->parameter("realm").empty());
    static_cast<void>(registry::token_query(*chosen, "repository:a:pull"));
}

void check_token(std::string_view text) {
    const auto now = std::chrono::system_clock::from_time_t(1'700'000'000);
    const registry::Token token = registry::parse_token(text, {}, now);
    require(!token.value.empty() && std::ranges::all_of(token.value, is_visible));
    require(token.lifetime.count() >= 1 && token.lifetime <= std::chrono::hours(24));
}

void check_reason(std::string_view text) {
    const std::string reason = registry::diagnosis(text, {"SECRET"});
    require(reason.size() <= 300 && prebake::printable(reason) == reason);
    require(reason.find("SECRET") == std::string::npos);
}

/// A URL that another host chose is one that the HTTP client takes, and stays as it is.
void check_reference(std::string_view text) {
    const std::string url = http::resolve_reference("https://reg.example:5000/v2/a/blobs/b", text);
    require(std::ranges::all_of(url, is_visible));
    require(!http::parse_url(url).host.empty());
    require(http::resolve_reference("https://other.example/", url) == url);
}

void check_header(const std::string& text) {
    const auto now = std::chrono::system_clock::from_time_t(1'700'000'000);
    const auto later = registry::parse_retry_after(text, now);
    require(!later || (later->count() >= 0 && *later <= std::chrono::hours(24 * 365)));
    const auto limit = registry::rate_limit_in({{"ratelimit-limit", text},
                                                {"ratelimit-remaining", text},
                                                {"docker-ratelimit-source", text}});
    require(!limit || limit->limit == limit->remaining);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
    try {
        switch (data[0]) {
            case 'c':
                check_challenges(text);
                break;
            case 't':
                check_token(text);
                break;
            case 'r':
                check_reason(text);
                break;
            case 'u':
                check_reference(text);
                break;
            default:
                check_header(std::string(text));
        }
    } catch (const Error& error) {
        require(error.code() == Errc::corrupt);
    }
    return 0;
}
