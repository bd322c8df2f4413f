#include "agent/layer/tar_numbers.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace prebake::layer {
namespace {

constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
/// Seconds from 1 January of year 1 to that of 1970.
constexpr std::int64_t kYear1To1970 = 62'135'596'800;

/// a + b modulo 2^64, as Go adds.
std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

/// Two's complement, big-endian; the first bit only marks the form.
std::optional<std::int64_t> base_256_number(std::string_view field) {
    const bool is_negative = (static_cast<unsigned char>(field.front()) & 0x40) != 0;
    const unsigned inversion = is_negative ? 0xff : 0;
    std::uint64_t number = 0;
    bool is_first = true;
    for (const char c : field) {
        unsigned byte = static_cast<unsigned char>(c) ^ inversion;
        if (is_first) byte &= 0x7f;
        is_first = false;
        if ((number >> 56) != 0) return std::nullopt;
        number = number << 8 | (byte & 0xff);
    }
    if ((number >> 63) != 0) return std::nullopt;
    return static_cast<std::int64_t>(is_negative ? ~number : number);
}

}  // namespace

TarTime TarTime::unix(std::int64_t seconds, std::int64_t nanoseconds) {
    seconds = wrapping_sum(seconds, nanoseconds / kNanosecondsPerSecond);
    nanoseconds %= kNanosecondsPerSecond;
    if (nanoseconds < 0) {
        nanoseconds += kNanosecondsPerSecond;
        seconds = wrapping_sum(seconds, -1);
    }
    return {wrapping_sum(seconds, kYear1To1970), static_cast<std::int32_t>(nanoseconds)};
}

std::int64_t bounded_nanoseconds(const TarTime& time) {
    if (time < TarTime::unix(0)) return 0;
    if (time > TarTime::unix(0, std::numeric_limits<std::int64_t>::max())) return 0;
    return (time.seconds_since_year_1 - kYear1To1970) * kNanosecondsPerSecond + time.nanoseconds;
}

std::optional<std::int64_t> octal_number(std::string_view field) {
    constexpr std::string_view kPadding(" \0", 2);
    const std::size_t begin = field.find_first_not_of(kPadding);
    if (begin == std::string_view::npos) return 0;
    field = field.substr(begin, field.find_last_not_of(kPadding) + 1 - begin);
    field = field.substr(0, field.find('\0'));
    std::uint64_t number = 0;
    const auto [end, failure] =
        std::from_chars(field.data(), field.data() + field.size(), number, 8);
    if (failure != std::errc() || end != field.data() + field.size()) return std::nullopt;
    return static_cast<std::int64_t>(number);
}

std::optional<std::int64_t> header_number(std::string_view field) {
    const bool is_binary =
        !field.empty() && (static_cast<unsigned char>(field.front()) & 0x80) != 0;
    return is_binary ? base_256_number(field) : octal_number(field);
}

std::optional<std::int64_t> decimal_number(std::string_view text) {
    // from_chars() knows no plus.
    if (text.starts_with('+')) {
        text.remove_prefix(1);
        if (text.starts_with('-')) return std::nullopt;
    }
    std::int64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::optional<TarTime> pax_time(std::string_view text) {
    constexpr std::size_t kDigits = 9;
    const std::size_t point = text.find('.');
    const std::string_view whole = text.substr(0, point);
    const auto seconds = decimal_number(whole);
    if (!seconds) return std::nullopt;
    std::string_view fraction;
    if (point != std::string_view::npos) fraction = text.substr(point + 1);
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!std::ranges::all_of(fraction, is_digit)) return std::nullopt;
    std::int64_t nanoseconds = 0;
    for (std::size_t i = 0; i < kDigits; ++i) {
        nanoseconds = nanoseconds * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
    }
    return TarTime::unix(*seconds, whole.starts_with('-') ? -nanoseconds : nanoseconds);
}

}  // namespace prebake::layer
