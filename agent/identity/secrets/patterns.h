#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace prebake::identity::secrets {

enum class Evidence {
    form,    ///< the secret has a form that nothing else has
    setting  ///< a value has a secret's name
};

struct LocatedSecret {
    std::string_view kind;  ///< lives as long as the program
    std::size_t offset = 0;
    Evidence evidence = Evidence::form;
};

/// The secrets whose first bytes are at [from, to) of `text`; what is around that range is looked
/// at, too. In the order of their offsets. In each line at most one of a rule, and
/// settings only if nothing in it has a form: `GITHUB_TOKEN=ghp_...` is one secret.
std::vector<LocatedSecret> locate_secrets(std::string_view path, std::string_view text,
                                          std::size_t from, std::size_t to);

/// A kind of secret in a text, and where. Never the secret itself.
struct SecretInText {
    std::string_view
        kind;  ///< "private key (PEM)", "registry password", "AWS secret access key", ...
    std::uint64_t line = 1;  ///< from 1
};

/// Every secret that is recognised in `text`. Pure. A kind is meant to hit the real thing and not
/// its documentation: a key needs its body, an access key its form, an assignment a value that is
/// neither empty nor a placeholder (`${VAR}`, `<...>`, `changeme`, `****`).
std::vector<SecretInText> secrets_in(std::string_view path, std::string_view text);

}  // namespace prebake::identity::secrets
