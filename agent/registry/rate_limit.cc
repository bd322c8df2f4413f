#include "agent/registry/rate_limit.h"

#include <charconv>
#include <string_view>

#include "agent/base/format.h"
#include "agent/base/text.h"

namespace prebake::registry {
namespace {

/// An address or a UUID.
constexpr std::size_t kMaxSourceBytes = 64;

/// A number alone: no sign, no rest.
std::optional<std::uint64_t> whole_number(std::string_view text) {
    text = trimmed(text);
    std::uint64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_whole = failure == std::errc{} && end == text.data() + text.size();
    return is_whole ? std::optional(number) : std::nullopt;
}

struct Amount {
    std::uint64_t number = 0;
    std::optional<std::chrono::seconds> window;
};

/// "100;w=21600". Other parameters are ignored.
std::optional<Amount> amount_in(const http::Headers& headers, std::string_view name) {
    const std::string value = http::find_header(headers, name).value_or("");
    std::string_view rest = value;
    const auto number = whole_number(rest.substr(0, rest.find(';')));
    if (!number) return std::nullopt;
    Amount amount{.number = *number, .window = {}};
    while (rest.find(';') != std::string_view::npos) {
        rest.remove_prefix(rest.find(';') + 1);
        const std::string_view parameter = trimmed(rest.substr(0, rest.find(';')));
        if (!parameter.starts_with("w=")) continue;
        constexpr std::uint64_t kLongest = 366UL * 24 * 3600;
        const auto seconds = whole_number(parameter.substr(2));
        if (seconds && *seconds <= kLongest) amount.window = std::chrono::seconds(*seconds);
    }
    return amount;
}

}  // namespace

std::optional<RateLimit> rate_limit_in(const http::Headers& headers) {
    const auto limit = amount_in(headers, "ratelimit-limit");
    const auto remaining = amount_in(headers, "ratelimit-remaining");
    if (!limit || !remaining) return std::nullopt;
    const std::string source = http::find_header(headers, "docker-ratelimit-source").value_or("");
    return RateLimit{.limit = limit->number,
                     .remaining = remaining->number,
                     .window = limit->window ? limit->window : remaining->window,
                     .source = shorten(printable(trimmed(source)), kMaxSourceBytes)};
}

}  // namespace prebake::registry
