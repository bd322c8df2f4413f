#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace prebake::tests {

// Texts that look like secrets and are none. They are made of pieces, so that a scan of our own
// sources finds nothing.

inline constexpr std::string_view kAlphanumeric =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// `length` characters without a pattern, always the same.
inline std::string noise(std::size_t length, std::string_view alphabet = kAlphanumeric,
                         std::uint32_t seed = 1) {
    std::string text;
    for (std::uint32_t state = seed; text.size() < length;) {
        state = state * 1664525U + 1013904223U;
        text += alphabet[(state >> 16U) % alphabet.size()];
    }
    return text;
}

inline std::string base64_of(std::string_view bytes) {
    static constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : bytes) {
        bits = bits << 8U | static_cast<unsigned char>(c);
        for (count += 8; count >= 6; count -= 6) text += kDigits[bits >> (count - 6) & 63U];
    }
    if (count > 0) text += kDigits[bits << (6 - count) & 63U];
    while (text.size() % 4 != 0) text += '=';
    return text;
}

/// As in JSON web tokens: with two other digits, and no padding.
inline std::string base64url_of(std::string_view bytes) {
    std::string text = base64_of(bytes);
    text.erase(std::min(text.find('='), text.size()));
    std::replace(text.begin(), text.end(), '+', '-');
    std::replace(text.begin(), text.end(), '/', '_');
    return text;
}

inline std::string armour(std::string_view which, std::string_view label) {
    return "-----" + std::string(which) + " " + std::string(label) + "-----";
}

/// `line_end` stands between the lines.
inline std::string pem(std::string_view label, std::string_view line_end = "\n",
                       std::string_view headers = {}) {
    std::string text = armour("BEGIN", label) + std::string(line_end) + std::string(headers);
    for (std::uint32_t line = 1; line <= 4; ++line)
        text += "MIIE" + noise(60, kAlphanumeric, line) + std::string(line_end);
    return text + armour("END", label) + std::string(line_end);
}

/// A key's label, which must not stand in one piece here.
inline std::string private_key_of(std::string_view kind = {}) {
    return (kind.empty() ? "" : std::string(kind) + " ") + "PRIVATE" + " KEY";
}

}  // namespace prebake::tests
