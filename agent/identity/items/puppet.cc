#include <utility>

#include "agent/identity/items/extra_changes.h"
#include "agent/machine/root.h"

namespace prebake::identity {

Changes puppet_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const char* const directory :
         {"/etc/puppetlabs/puppet/ssl", "/etc/puppet/ssl", "/var/lib/puppet/ssl"}) {
        for (const std::string& name : root.names_in(directory)) {
            if (name == "ca") continue;  // a server's authority is in puppet-data
            changes.push_back({Change::Kind::remove, std::string(directory) + "/" + name, {}});
        }
    }
    return changes;
}

}  // namespace prebake::identity
