#include "agent/layer/tar_numbers.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace prebake::layer {
namespace {

using namespace std::string_view_literals;
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

TEST_CASE("numbers in headers") {
    struct Row {
        const char* name;
        std::string_view field;
        std::optional<std::int64_t> number;
    };
    const Row rows[] = {
        {"octal", "0000644\0"sv, 0644},
        {"octal with spaces before", "    644\0"sv, 0644},
        {"octal with a space behind", "000644 \0"sv, 0644},
        {"octal that fills the field", "77777777"sv, 077777777},
        {"nothing", ""sv, 0},
        {"an empty field", "\0\0\0\0\0\0\0\0"sv, 0},
        {"spaces", "        "sv, 0},
        {"what is behind a NUL does not count", "12\0 9x"sv, 012},
        {"no octal digit", "0000008\0"sv, std::nullopt},
        {"a space inside", "12 34\0"sv, std::nullopt},
        {"a sign", "-12\0"sv, std::nullopt},
        {"a plus", "+12\0"sv, std::nullopt},
        {"hexadecimal", "0x12\0"sv, std::nullopt},
        {"base 256", "\x80\0\0\0\0\0\x01\x02"sv, 258},
        {"base 256, negative", "\xff\xff\xff\xff\xff\xff\xff\xfe"sv, -2},
        {"base 256 in twelve bytes", "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"sv, kMax},
        {"base 256, the smallest", "\xff\xff\xff\xff\x80\0\0\0\0\0\0\0"sv, kMin},
        {"base 256, too large", "\x80\0\0\0\x80\0\0\0\0\0\0\0"sv, std::nullopt},
        {"base 256, far too large", "\x80\x01\0\0\0\0\0\0\0\0\0\0"sv, std::nullopt},
        {"base 256, too small", "\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff"sv, std::nullopt},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(header_number(row.field) == row.number);
    }
    CHECK(octal_number("\x80\0\0\0\0\0\x01\x02"sv) == std::nullopt);
}

TEST_CASE("decimal numbers") {
    struct Row {
        std::string_view text;
        std::optional<std::int64_t> number;
    };
    const Row rows[] = {
        {"0", 0},
        {"-7", -7},
        {"+7", 7},
        {"007", 7},
        {"9223372036854775807", kMax},
        {"-9223372036854775808", kMin},
        {"9223372036854775808", std::nullopt},
        {"", std::nullopt},
        {"-", std::nullopt},
        {"+", std::nullopt},
        {"+-7", std::nullopt},
        {" 7", std::nullopt},
        {"7 ", std::nullopt},
        {"7_0", std::nullopt},
        {"0x7", std::nullopt},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        CHECK(decimal_number(row.text) == row.number);
    }
}

TEST_CASE("times of PAX records") {
    struct Row {
        std::string_view text;
        std::optional<TarTime> time;
    };
    const Row rows[] = {
        {"5", TarTime::unix(5)},
        {"5.", TarTime::unix(5)},
        {"5.25", TarTime::unix(5, 250'000'000)},
        {"5.123456789012", TarTime::unix(5, 123'456'789)},
        {"5.000000001", TarTime::unix(5, 1)},
        {"-5.25", TarTime::unix(-6, 750'000'000)},
        {"-0.5", TarTime::unix(-1, 500'000'000)},
        {"+5.5", TarTime::unix(5, 500'000'000)},
        {"", std::nullopt},
        {".5", std::nullopt},
        {"5.x", std::nullopt},
        {"5.5.5", std::nullopt},
        {"5.-5", std::nullopt},
        {"5,5", std::nullopt},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        CHECK((pax_time(row.text) == row.time));
    }
}

TEST_CASE("times are bounded as containerd bounds them") {
    struct Row {
        const char* name;
        TarTime time;
        std::int64_t nanoseconds;
    };
    const Row rows[] = {
        {"1970", TarTime::unix(0), 0},
        {"before it", TarTime::unix(0, -1), 0},
        {"long before it", TarTime::unix(kMin), 0},
        {"Go's zero time", TarTime{}, 0},
        {"now", TarTime::unix(1'700'000'000, 5), 1'700'000'000'000'000'005},
        {"the last", TarTime::unix(9'223'372'036, 854'775'807), kMax},
        {"after it", TarTime::unix(9'223'372'036, 854'775'808), 0},
        {"long after it", TarTime::unix(kMax), 0},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(bounded_nanoseconds(row.time) == row.nanoseconds);
    }
    CHECK((TarTime{} < TarTime::unix(-1)));
    // Go's seconds since year 1 wrap around: this time is before all others.
    CHECK((TarTime::unix(kMax) < TarTime::unix(0)));
}

}  // namespace
}  // namespace prebake::layer
