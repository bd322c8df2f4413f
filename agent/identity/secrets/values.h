#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace prebake::identity::secrets {

// What distinguishes the value of a secret from a sample, a reference or prose. All pure; all read
// a bounded number of bytes.

enum class Alphabet {
    alphanumeric,
    upper_digits,  ///< [A-Z0-9]
    word,          ///< [A-Za-z0-9_]
    name,          ///< [A-Za-z0-9_-]: also base64url
    base64,        ///< [A-Za-z0-9+/]
    url_encoded,   ///< [A-Za-z0-9+/%]: base64 in a query
    token,         ///< [A-Za-z0-9._~+/=-]: a token of RFC 6750
};
bool is_of(Alphabet alphabet, char c);

/// NUL after the end.
inline char byte_at(std::string_view text, std::size_t offset) {
    return offset < text.size() ? text[offset] : '\0';
}

/// How many characters of `text` from `at` on are of `alphabet`, at most `limit`.
std::size_t run_length(std::string_view text, std::size_t at, Alphabet alphabet, std::size_t limit);

/// A key or a token has many different characters, unlike "xxxxxxxx" and "00000000".
bool is_varied(std::string_view value);

/// A word that stands for a value: "changeme", "<your token>", "********".
bool is_placeholder(std::string_view value);

/// A sample from well-known manuals or packages.
bool is_published(std::string_view value);

/// Something that could be a password: no placeholder, and neither a reference to a value elsewhere
/// ("${TOKEN}", "/run/secrets/token", "get_token()") nor a number or a truth value.
bool is_real(std::string_view value);

/// Decodes up to the first byte that is not base64 (of either alphabet).
std::string decode_base64(std::string_view text);

}  // namespace prebake::identity::secrets
