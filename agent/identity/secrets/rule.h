#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "agent/identity/secrets/values.h"

namespace prebake::identity::secrets {

/// What the name of a file says about the texts in it. Strict forms (keys with their bodies, tokens
/// with their issuers' prefixes) count everywhere; `NAME=value` counts in settings only, because in
/// programs and documentation it is mostly a sample.
struct FileTraits {
    bool settings = false;  ///< unit, environment and configuration files, shell start-up files
    bool colons = false;    ///< YAML and JSON: `name: value` is an assignment, too
    bool netrc = false;     ///< .netrc and apt's auth.conf: words, not assignments
    bool pgpass = false;    ///< .pgpass: host:port:database:user:password
};
FileTraits traits_of(std::string_view path);

/// A place in a text where a needle was found.
struct Candidate {
    std::string_view text;
    std::size_t begin;  ///< of the needle
    std::size_t end;    ///< behind the needle
    FileTraits traits;
};

/// How one kind of secret is recognised: by a string that is rare elsewhere, and a judge who looks
/// at what surrounds it. No rule looks for password hashes (/etc/shadow): the accounts of an image
/// are meant to be there, and its builder decides on their passwords.
struct SecretRule {
    /// The kind that was found; empty if it is none.
    using Judge = std::string_view (*)(const SecretRule&, const Candidate&);

    std::string_view needle;  ///< found in any case; the judge may insist on this one
    std::string_view kind;
    Judge judge;
    Alphabet alphabet = Alphabet::alphanumeric;  ///< of what follows the needle
    std::size_t at_least = 0;                    ///< how many characters of it
};

/// No judge looks further than this before and behind its needle.
inline constexpr std::size_t kMaxLookBehind = 1024;
inline constexpr std::size_t kMaxLookAhead = 32UL << 10;

}  // namespace prebake::identity::secrets
