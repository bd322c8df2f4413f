#include "agent/identity/items/all.h"

namespace prebake::identity {

// What a tool writes when somebody logs in. What people write by hand beside other settings
// (~/.npmrc, ~/.my.cnf, ~/.pgpass, ~/.config/pip) stays, and the scan for secrets names it.
Item tool_credentials_item() {
    return {
        .name = "tool-credentials",
        .order = 630,
        .why =
            "Whoever has the image could read and write the repositories of the one who built "
            "it.",
        .back = "Nobody; a person logs in again.",
        .targets =
            {
                {Target::What::file, "~/.netrc"},
                {Target::What::file, "~/.git-credentials"},
                {Target::What::file, "~/.config/git/credentials"},
                {Target::What::file, "~/.config/gh/hosts.yml"},
                {Target::What::file, "~/.config/glab-cli/config.yml"},
                {Target::What::file, "~/.cargo/credentials"},
                {Target::What::file, "~/.cargo/credentials.toml"},
                {Target::What::file, "~/.gem/credentials"},
                {Target::What::file, "~/.pypirc"},
                {Target::What::file, "~/.vault-token"},
                {Target::What::file, "~/.terraform.d/credentials.tfrc.json"},
            },
    };
}

}  // namespace prebake::identity
