#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace prebake::layer {

// Numbers and times as Go's archive/tar and strconv read them: containerd is a Go program, and what
// it refuses or accepts in a layer is what counts.

/// A point in time with Go's arithmetic. Comparison is by Go's own internal seconds, which count
/// from year 1 and wrap around: containerd compares times before it bounds them.
struct TarTime {
    std::int64_t seconds_since_year_1 = 0;  ///< the default is Go's zero time
    std::int32_t nanoseconds = 0;           ///< 0 to 999,999,999

    /// time.Unix(seconds, nanoseconds); nanoseconds may be negative.
    static TarTime unix(std::int64_t seconds, std::int64_t nanoseconds = 0);
    auto operator<=>(const TarTime&) const = default;
};

/// Nanoseconds since 1970, or 0 for a time before it or after 2^63-1 ns: what containerd gives to
/// utimensat(2).
std::int64_t bounded_nanoseconds(const TarTime& time);

/// A header field: base-256 if its first bit is set, else octal with spaces and NULs around it. An
/// empty field is 0. Nothing if it is neither, or does not fit.
std::optional<std::int64_t> header_number(std::string_view field);

/// The octal form alone, as checksums have it.
std::optional<std::int64_t> octal_number(std::string_view field);

/// A decimal number with an optional sign and nothing else (strconv.ParseInt with base 10).
std::optional<std::int64_t> decimal_number(std::string_view text);

/// "SECONDS" or "SECONDS.FRACTION", of PAX records. More than nine digits are cut off.
std::optional<TarTime> pax_time(std::string_view text);

}  // namespace prebake::layer
