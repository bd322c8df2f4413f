#include "agent/identity/items/all.h"

namespace prebake::identity {

Item cloud_credentials_item() {
    return {
        .name = "cloud-credentials",
        .order = 610,
        .why = "Whoever has the image could act in the cloud as the one who built it.",
        .back = "Nobody; an instance gets credentials from its role, a person by logging in.",
        .targets =
            {
                // Not ~/.aws/config: region and role are the image's configuration; keys in it are
                // found by the scan for secrets.
                {Target::What::file, "~/.aws/credentials"},
                {Target::What::file, "~/.aws/cli/cache"},
                {Target::What::file, "~/.aws/sso/cache"},
                {Target::What::file, "~/.aws/boto/cache"},
                {Target::What::file, "~/.aws/login"},
                {Target::What::file, "~/.azure"},
                {Target::What::file, "~/.config/gcloud"},
                {Target::What::file, "~/.gsutil"},
            },
    };
}

}  // namespace prebake::identity
