#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace prebake::identity {

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

}  // namespace prebake::identity
