#include "agent/base/ascii.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/base/hex.h"

namespace {

/// The bytes that belong to a class, in their order.
std::string members(bool (*is_member)(char)) {
    std::string found;
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        if (is_member(c)) found += c;
    }
    return found;
}

const std::string kDigits = "0123456789";
const std::string kUpper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const std::string kLower = "abcdefghijklmnopqrstuvwxyz";

}  // namespace

TEST_CASE("character classes hold these bytes and no others") {
    CHECK(members(prebake::is_digit) == kDigits);
    CHECK(members(prebake::is_lower) == kLower);
    CHECK(members(prebake::is_upper) == kUpper);
    CHECK(members(prebake::is_alphanumeric) == kDigits + kUpper + kLower);
    CHECK(members(prebake::is_lower_hex) == kDigits + "abcdef");
    CHECK(members(prebake::is_hex) == kDigits + "ABCDEFabcdef");
    CHECK(members(prebake::is_white_space) == "\t\n\v\f\r ");
    CHECK(members(prebake::is_printable).size() == 95);
    CHECK(members(prebake::is_printable).front() == ' ');
    CHECK(members(prebake::is_printable).back() == '~');
}

TEST_CASE("to_lower() changes upper-case letters only") {
    for (int byte = 0; byte < 256; ++byte) {
        CAPTURE(byte);
        const char c = static_cast<char>(byte);
        const auto at = kUpper.find(c);
        CHECK(prebake::to_lower(c) == (at == std::string::npos ? c : kLower[at]));
    }
}

TEST_CASE("to_hex() writes two digits for each byte") {
    const std::byte bytes[] = {std::byte{0x00}, std::byte{0x0f}, std::byte{0xa0}, std::byte{0xff}};
    CHECK(prebake::to_hex(bytes) == "000fa0ff");
    CHECK(prebake::to_hex({}).empty());
}
