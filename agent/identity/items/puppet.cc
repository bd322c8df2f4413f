#include <utility>

#include "agent/identity/items/all.h"

namespace prebake::identity {
namespace {

Changes further(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const char* const directory :
         {"/etc/puppetlabs/puppet/ssl", "/etc/puppet/ssl", "/var/lib/puppet/ssl"}) {
        for (const std::string& name : root.names_in(directory)) {
            if (name == "ca") continue;  // a server's authority: puppet-data
            changes.push_back({Change::Kind::remove, std::string(directory) + "/" + name, {}});
        }
    }
    return changes;
}

}  // namespace

Item puppet_item() {
    return {
        .name = "puppet",
        .order = 800,
        .why = "Clones would be one node to the Puppet server.",
        .back = "The agent makes a key and asks for a certificate when it next runs.",
        .on_clone = OnClone::renew,
        .further = further,
        .further_says =
            "removes what is in the ssl directories below /etc/puppetlabs/puppet, /etc/puppet and "
            "/var/lib/puppet, but for a server's authority (ca)",
        .proofs = {"/etc/puppetlabs/puppet/ssl/public_keys/*.pem",
                   "/var/lib/puppet/ssl/public_keys/*.pem"},
    };
}

}  // namespace prebake::identity
