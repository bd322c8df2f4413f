#include "agent/identity/items/all.h"

namespace prebake::identity {

Item chef_item() {
    return {
        .name = "chef",
        .order = 820,
        .why = "Clones would be one node to the Chef server.",
        .back = "chef-client registers a node that has no key, if it is given a validation key.",
        .targets =
            {
                {Target::What::file, "/etc/chef/client.pem"},
                {Target::What::file, "/etc/cinc/client.pem"},
                {Target::What::contents, "/var/chef/cache"},
                {Target::What::contents, "/var/chef/backup"},
            },
    };
}

}  // namespace prebake::identity
