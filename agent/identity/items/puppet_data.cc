#include "agent/identity/items/all.h"

namespace prebake::identity {

// A clone keeps it: it may be a server that was restored from a snapshot, whose authority signed
// every agent's certificate.
Item puppet_data_item() {
    return {
        .name = "puppet-data",
        .order = 805,
        .why =
            "Clones would hold the builder's catalogues and reports, secrets included, and "
            "clones of a server the key of its certificate authority.",
        .back =
            "The agent makes what it caches when it next runs; a server makes a new authority "
            "when it next starts.",
        .targets =
            {
                {Target::What::file, "/etc/puppetlabs/puppet/ssl/ca"},
                {Target::What::file, "/etc/puppet/ssl/ca"},
                {Target::What::file, "/var/lib/puppet/ssl/ca"},
                {Target::What::file, "/opt/puppetlabs/puppet/cache/client_data"},
                {Target::What::file, "/opt/puppetlabs/puppet/cache/reports"},
                {Target::What::file, "/opt/puppetlabs/puppet/cache/state"},
                {Target::What::file, "/var/cache/puppet/client_data"},
                {Target::What::file, "/var/cache/puppet/reports"},
                {Target::What::contents, "/var/cache/puppet/state"},
            },
    };
}

}  // namespace prebake::identity
