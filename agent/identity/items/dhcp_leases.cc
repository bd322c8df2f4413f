#include "agent/identity/items/all.h"

namespace prebake::identity {

Item dhcp_leases_item() {
    return {
        .name = "dhcp-leases",
        .order = 200,
        .why =
            "Clones would ask for the builder's address under the builder's DHCP identity "
            "(DUID).",
        .back = "The DHCP client makes new ones when it next asks for a lease.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::contents, "/var/lib/dhclient"},
                // Not /var/lib/dhcp/dhcpd.leases: a DHCP server does not start without it.
                {Target::What::file, "/var/lib/dhcp/dhclient*"},
                {Target::What::contents, "/var/lib/dhcpcd"},
                {Target::What::file, "/etc/dhcpcd.duid"},
                {Target::What::file, "/etc/dhcpcd.secret"},
                {Target::What::file, "/var/lib/NetworkManager/*.lease"},
                {Target::What::file, "/var/lib/wicked/duid.xml"},
                {Target::What::file, "/var/lib/wicked/iaid.xml"},
                {Target::What::file, "/var/lib/wicked/lease-*"},
            },
    };
}

}  // namespace prebake::identity
