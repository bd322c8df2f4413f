#include "agent/identity/secrets/values.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdint>

#include "agent/base/text.h"
#include "agent/machine/text_format.h"

namespace prebake::identity::secrets {
namespace {

bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

std::size_t distinct_characters(std::string_view value) {
    std::bitset<256> seen;
    for (const char c : value) seen.set(static_cast<unsigned char>(c));
    return seen.count();
}

/// MAIN_TLS_KEY: a constant or a macro that is defined elsewhere.
bool is_constant(std::string_view value) {
    return value.find('_') != std::string_view::npos &&
           std::all_of(value.begin(), value.end(), [](char c) { return is_upper(c) || c == '_'; });
}

bool is_number(std::string_view value) {
    return std::all_of(value.begin(), value.end(),
                       [](char c) { return is_digit(c) || c == '.' || c == ',' || c == '-'; });
}

/// Longer values are judged by their first characters.
constexpr std::size_t kJudgedBytes = 128;

/// A file name. Base64 may also start with a slash, but then it is one long word.
bool is_path(std::string_view value) {
    for (const std::string_view start : {"./", "../", "~/", "file:"}) {
        if (value.starts_with(start)) return true;
    }
    for (const std::string_view end : {".key", ".pem", ".crt", ".json", ".txt", ".yaml"}) {
        if (value.ends_with(end)) return true;
    }
    if (!value.starts_with('/')) return false;
    const bool has_base64_only_characters = value.find_first_of("+=") != std::string_view::npos;
    const bool has_path_characters = value.find_first_of("/.-_", 1) != std::string_view::npos;
    return !has_base64_only_characters && (has_path_characters || value.size() < 20);
}

int base64_value(char c) {
    if (is_upper(c)) return c - 'A';
    if (is_lower(c)) return c - 'a' + 26;
    if (is_digit(c)) return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    if (c == '/' || c == '_') return 63;
    return -1;
}

}  // namespace

bool is_of(Alphabet alphabet, char c) {
    const bool alphanumeric = is_upper(c) || is_lower(c) || is_digit(c);
    switch (alphabet) {
        case Alphabet::alphanumeric:
            return alphanumeric;
        case Alphabet::upper_digits:
            return is_upper(c) || is_digit(c);
        case Alphabet::word:
            return alphanumeric || c == '_';
        case Alphabet::name:
            return alphanumeric || c == '_' || c == '-';
        case Alphabet::base64:
            return alphanumeric || c == '+' || c == '/';
        case Alphabet::url_encoded:
            return alphanumeric || c == '+' || c == '/' || c == '%';
        case Alphabet::token:
            return alphanumeric || std::string_view("._~+/=-").find(c) != std::string_view::npos;
    }
    return false;
}

std::size_t run_length(std::string_view text, std::size_t at, Alphabet alphabet,
                       std::size_t limit) {
    std::size_t length = 0;
    while (length < limit && at + length < text.size() && is_of(alphabet, text[at + length])) {
        ++length;
    }
    return length;
}

bool is_varied(std::string_view value) {
    return distinct_characters(value.substr(0, kJudgedBytes)) >= 8;
}

bool is_placeholder(std::string_view value) {
    const std::string text = lower_case(value.substr(0, kJudgedBytes));
    if (distinct_characters(text) < 2) return true;
    static constexpr std::array<std::string_view, 18> kWords{
        "password", "passwd", "passphrase", "pass", "pwd",      "secret", "token",  "none",  "null",
        "nil",      "test",   "foo",        "bar",  "username", "string", "hidden", "blank", "key"};
    if (std::find(kWords.begin(), kWords.end(), text) != kWords.end()) return true;
    static constexpr std::array<std::string_view, 21> kParts{
        "example",  "changeme", "change-me",    "change_me", "change this", "placeholder",
        "redacted", "dummy",    "notasecret",   "my-secret", "mysecret",    "your-",
        "your_",    "yourp",    "yours",        "yourt",     "xxxx",        "****",
        "...",      "_here",    "unique phrase"};
    return std::any_of(kParts.begin(), kParts.end(),
                       [&](std::string_view part) { return text.find(part) != std::string::npos; });
}

bool is_published(std::string_view value) {
    static constexpr std::array<std::string_view, 5> kSamples{
        "pass:insta",   // openssl.cnf of OpenSSL 3
        "gX1fBat3bV",   // RFC 6749, 2.3.1
        "open sesame",  // RFC 7617, 2: Aladdin's
        "OpenSesame",
        "not my real password",  // npm
    };
    return std::find(kSamples.begin(), kSamples.end(), value) != kSamples.end();
}

bool is_real(std::string_view value) {
    value = value.substr(0, kJudgedBytes);
    constexpr std::size_t kShortest = 4;
    if (value.size() < kShortest) return false;
    // Variables, templates, commands; "%h/..." is a specifier of systemd.
    if (std::string_view("$<{[`").find(value.front()) != std::string_view::npos) return false;
    for (const char mark : {'%', '@', '_'}) {
        if (value.front() == mark && (value.back() == mark || value[2] == '/')) return false;
    }
    for (const std::string_view reference : {"${", "$(", "{{", "%(", "()", "%s"}) {
        if (value.find(reference) != std::string_view::npos) return false;
    }
    if (is_path(value) || is_constant(value) || is_number(value)) return false;
    const std::string text = lower_case(value);
    for (const std::string_view constant : {"true", "false", "http", "https", "write"}) {
        if (text == constant) return false;
    }
    for (const std::string_view scheme : {"http://", "https://", "env:", "vault:", "arn:"}) {
        if (text.starts_with(scheme)) return false;
    }
    return !is_published(value) && !is_placeholder(value);
}

std::string decode_base64(std::string_view text) {
    std::string bytes;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        const int value = base64_value(c);
        if (value < 0) break;
        bits = (bits << 6U | static_cast<std::uint32_t>(value)) & 0xffffffU;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        bytes.push_back(static_cast<char>(bits >> static_cast<unsigned>(count) & 0xffU));
    }
    return bytes;
}

}  // namespace prebake::identity::secrets
