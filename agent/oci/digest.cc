#include "agent/oci/digest.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "agent/base/ascii.h"
#include "agent/base/error.h"
#include "agent/base/hex.h"
#include "agent/oci/quoted.h"

namespace prebake::oci {
namespace {

constexpr std::string_view kSha256 = "sha256";
constexpr std::string_view kPrefix = "sha256:";
constexpr std::size_t kSha256HexDigits = 2 * std::tuple_size_v<Sha256Hash>;

/// algorithm ::= component (separator component)*, component ::= [a-z0-9]+, separator ::= [+._-]
bool is_algorithm(std::string_view text) {
    bool in_component = false;
    for (const char c : text) {
        const bool is_separator = c == '+' || c == '.' || c == '_' || c == '-';
        if (!is_lower(c) && !is_digit(c) && !(is_separator && in_component)) return false;
        in_component = !is_separator;
    }
    return in_component;
}

/// encoded ::= [a-zA-Z0-9=_-]+
bool is_encoded(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return is_alphanumeric(c) || c == '=' || c == '_' || c == '-';
    });
}

/// `hex` is kSha256HexDigits lower-case hex digits.
Sha256Hash from_hex(std::string_view hex) {
    const auto value = [](char digit) { return is_digit(digit) ? digit - '0' : digit - 'a' + 10; };
    Sha256Hash hash{};
    for (std::size_t i = 0; i < hash.size(); ++i) {
        hash[i] = static_cast<std::byte>(value(hex[2 * i]) << 4 | value(hex[2 * i + 1]));
    }
    return hash;
}

[[noreturn]] void throw_malformed(std::string_view text, const std::string& reason) {
    throw Error(Errc::usage, "malformed digest " + quoted(text) + ": " + reason,
                "write sha256: and 64 lower-case hex digits");
}

}  // namespace

Digest Digest::parse(std::string_view text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) throw_malformed(text, "it does not start with sha256:");
    const std::string_view algorithm = text.substr(0, colon);
    const std::string_view encoded = text.substr(colon + 1);
    if (!is_algorithm(algorithm)) {
        throw_malformed(text,
                        "its algorithm " + quoted(algorithm) + " is not written in [a-z0-9+._-]");
    }
    if (algorithm != kSha256) {
        if (!is_encoded(encoded))
            throw_malformed(text, "the text after the ':' is not an encoded hash");
        throw Error(Errc::unsupported,
                    "unsupported digest algorithm " + quoted(algorithm) + " in " + quoted(text),
                    "use a sha256 digest: containerd stores no others");
    }
    const auto wrong = std::find_if_not(encoded.begin(), encoded.end(), is_lower_hex);
    if (wrong != encoded.end()) {
        throw_malformed(
            text, quoted(*wrong) + (is_upper(*wrong) ? " is upper-case" : " is not a hex digit"));
    }
    if (encoded.size() != kSha256HexDigits) {
        throw_malformed(text,
                        "it has " + std::to_string(encoded.size()) + " hex digits instead of 64");
    }
    return Digest(from_hex(encoded));
}

std::optional<Digest> Digest::try_parse(std::string_view text) noexcept {
    if (!text.starts_with(kPrefix)) return std::nullopt;
    const std::string_view encoded = text.substr(kPrefix.size());
    if (encoded.size() != kSha256HexDigits) return std::nullopt;
    if (!std::all_of(encoded.begin(), encoded.end(), is_lower_hex)) return std::nullopt;
    return Digest(from_hex(encoded));
}

Digest Digest::of(std::string_view bytes) {
    return Digest(sha256(bytes));
}

std::string Digest::str() const {
    return std::string(kPrefix) + hex();
}

std::string Digest::hex() const {
    return to_hex(hash_);
}

}  // namespace prebake::oci

std::size_t std::hash<prebake::oci::Digest>::operator()(
    const prebake::oci::Digest& digest) const noexcept {
    std::size_t value = 0;
    std::memcpy(&value, digest.hash().data(), sizeof value);
    return value;
}
