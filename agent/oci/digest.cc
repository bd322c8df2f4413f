#include "agent/oci/digest.h"

#include <algorithm>
#include <cstddef>

#include "agent/base/error.h"
#include "agent/base/sha256.h"
#include "agent/oci/quoted.h"

namespace prebake::oci {
namespace {

constexpr std::string_view kSha256 = "sha256";
constexpr std::size_t kSha256HexDigits = 64;

bool is_lower_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
bool is_lower_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/// algorithm ::= component (separator component)*, component ::= [a-z0-9]+, separator ::= [+._-]
bool is_algorithm(std::string_view text) {
    bool in_component = false;
    for (const char c : text) {
        const bool is_separator = c == '+' || c == '.' || c == '_' || c == '-';
        if (!is_lower_or_digit(c) && !(is_separator && in_component)) return false;
        in_component = !is_separator;
    }
    return in_component;
}

/// encoded ::= [a-zA-Z0-9=_-]+
bool is_encoded(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return is_lower_or_digit(c) || is_upper(c) || c == '=' || c == '_' || c == '-';
    });
}

[[noreturn]] void refuse(std::string_view text, const std::string& reason) {
    throw Error(Errc::usage, "malformed digest " + quoted(text) + ": " + reason,
                "write sha256: and 64 lower-case hex digits");
}

}  // namespace

Digest Digest::parse(std::string_view text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) refuse(text, "it does not start with sha256:");
    const std::string_view algorithm = text.substr(0, colon);
    const std::string_view encoded = text.substr(colon + 1);
    if (!is_algorithm(algorithm)) {
        refuse(text, "its algorithm " + quoted(algorithm) + " is not written in [a-z0-9+._-]");
    }
    if (algorithm != kSha256) {
        if (!is_encoded(encoded)) refuse(text, "what follows the ':' is no encoded hash");
        throw Error(Errc::unsupported,
                    "unsupported digest algorithm " + quoted(algorithm) + " in " + quoted(text),
                    "use a sha256 digest: containerd stores no others");
    }
    const auto wrong = std::find_if_not(encoded.begin(), encoded.end(), is_lower_hex);
    if (wrong != encoded.end()) {
        refuse(text,
               quoted(*wrong) + (is_upper(*wrong) ? " is upper-case" : " is not a hex digit"));
    }
    if (encoded.size() != kSha256HexDigits) {
        refuse(text, "it has " + std::to_string(encoded.size()) + " hex digits instead of 64");
    }
    return Digest(std::string(text));
}

Digest Digest::of(std::string_view bytes) {
    return Digest("sha256:" + sha256_hex(bytes));
}

}  // namespace prebake::oci
