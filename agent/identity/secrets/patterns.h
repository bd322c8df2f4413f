#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace prebake::identity::secrets {

enum class Evidence {
    format,   ///< the secret has a format that nothing else has
    setting,  ///< the name of a value says that it is a secret
    value     ///< not a secret: a known value, which a caller of the scan looks for
};

struct LocatedSecret {
    std::string_view kind;  ///< static storage
    std::size_t offset = 0;
    Evidence evidence = Evidence::format;
};

/// The secrets that start in [from, to) of `text`, in the order of their offsets. Text around that
/// range is considered, too. Each line has at most one secret of a rule, and settings only if
/// nothing in it has a format: `GITHUB_TOKEN=ghp_...` is one secret.
std::vector<LocatedSecret> locate_secrets(std::string_view path, std::string_view text,
                                          std::size_t from, std::size_t to);

/// A kind of secret in a text, and where. Never the secret itself.
struct SecretInText {
    std::string_view
        kind;  ///< "private key (PEM)", "registry password", "AWS secret access key", ...
    std::uint64_t line = 1;  ///< from 1
};

/// All secrets that are recognized in `text`. Real secrets should match, and documentation should
/// not: a key needs its body, an access key its format, and an assignment a value that is neither
/// empty nor a placeholder (`${VAR}`, `<...>`, `changeme`, `****`). Pure.
std::vector<SecretInText> secrets_in(std::string_view path, std::string_view text);

}  // namespace prebake::identity::secrets
