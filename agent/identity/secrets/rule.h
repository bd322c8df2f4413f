#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "agent/identity/secrets/values.h"

namespace prebake::identity::secrets {

/// What a file's name implies about its contents. Strict formats (keys with their bodies, tokens
/// with their issuers' prefixes) count everywhere. `NAME=value` counts only in settings, because in
/// programs and documentation it is usually a sample.
struct FileTraits {
    bool settings = false;    ///< unit, environment and configuration files, shell startup files
    bool colons = false;      ///< YAML and JSON: `name: value` is an assignment, too
    bool php = false;         ///< PHP that holds nothing but settings: of them, quoted values count
    bool netrc = false;       ///< .netrc and apt's auth.conf: words, not assignments
    bool pgpass = false;      ///< .pgpass: host:port:database:user:password
    bool wireguard = false;   ///< below /etc/wireguard, and not called a public key
    bool erlang = false;      ///< .erlang.cookie
    bool wazuh = false;       ///< client.keys
    bool token_file = false;  ///< of kube-apiserver: token,user,uid,"groups"
};
FileTraits traits_of(std::string_view path);

/// A place in a text where a needle was found.
struct Candidate {
    std::string_view text;
    std::size_t begin;  ///< of the needle
    std::size_t end;    ///< after the needle
    FileTraits traits;
};

/// Longer tokens are judged by their first characters.
inline constexpr std::size_t kMaxToken = 512;

/// How one kind of secret is recognized: by a string that is rare elsewhere, and a judge that
/// checks the text around it. No judge verifies the checksum that some issuers put into tokens:
/// they change it without notice, and a live token must not pass as a sample. No rule finds
/// password hashes: identity/live_passwords.h does.
struct SecretRule {
    /// The kind of secret; empty if it is not a secret.
    using Judge = std::string_view (*)(const SecretRule&, const Candidate&);

    std::string_view needle;  ///< found in any case; the judge may require this case
    std::string_view kind;
    Judge judge;
    Alphabet alphabet = Alphabet::alphanumeric;  ///< of what follows the needle
    std::size_t at_least = 0;                    ///< how many characters of it
    std::size_t at_most = kMaxToken;             ///< the same; more are something else
};

/// No judge reads further than this before and after its needle.
inline constexpr std::size_t kMaxLookBehind = 1024;
inline constexpr std::size_t kMaxLookAhead = 32UL << 10;

}  // namespace prebake::identity::secrets
