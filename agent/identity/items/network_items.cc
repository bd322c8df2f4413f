#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// Leases, profiles and names of interfaces.
// One line for each path.
// clang-format off
constexpr Item kNetworkItems[] = {
    {
        .name = "dhcp-leases",
        .why =
            "Clones would request the builder's address under the builder's DHCP identity (DUID).",
        .regeneration = "The DHCP client creates new ones when it next requests a lease.",
        .on_clone = OnClone::renew,
        .targets = {
            remove_inside("/var/lib/dhclient"),
            // Not /var/lib/dhcp/dhcpd.leases: a DHCP server does not start without it.
            remove("/var/lib/dhcp/dhclient*"),
            remove_inside("/var/lib/dhcpcd"),
            remove("/etc/dhcpcd.duid"),
            remove("/etc/dhcpcd.secret"),
            remove("/var/lib/NetworkManager/*.lease"),
            remove("/var/lib/wicked/duid.xml"),
            remove("/var/lib/wicked/iaid.xml"),
            remove("/var/lib/wicked/lease-*"),
        },
    },
    {
        .name = "network-manager",
        .why =
            "Clones would derive the same DHCP client IDs and stable-privacy addresses from one "
            "secret key.",
        .regeneration =
            "NetworkManager generates a new key when it next starts (NetworkManager(8)).",
        .on_clone = OnClone::renew,
        .targets = {
            // In every case: a key in the first format does not depend on the machine-id.
            remove("/var/lib/NetworkManager/secret_key"),
            // MAC addresses of interfaces whose default profile somebody deleted.
            remove("/var/lib/NetworkManager/no-auto-default.state"),
            remove("/var/lib/NetworkManager/seen-bssids"),
            remove("/var/lib/NetworkManager/timestamps"),
        },
    },
    {
        .name = "network-profiles",
        .why =
            "A profile that is tied to the builder's MAC address does not apply to a clone's "
            "interface, and it sends the builder's host name.",
        .regeneration =
            "Not needed. NetworkManager derives a missing UUID from the name of the profile's "
            "file.",
        .extra_changes = network_profiles_changes,
        .extra_description =
            "removes HOSTNAME, DHCP_HOSTNAME and HWADDR from ifcfg files, mac-address, "
            "dhcp-hostname, dhcp-fqdn and timestamp from NetworkManager's profiles, and the UUID "
            "from both unless another profile refers to it",
    },
    {
        .name = "udev-persistent-net",
        .why =
            "A clone's network interface has another MAC address. It would get a name that is not "
            "configured and stay down.",
        .regeneration =
            "Not needed. udev names interfaces by their location; old releases write the file "
            "again.",
        .targets = {
            remove("/etc/udev/rules.d/70-persistent-net.rules"),
            remove("/etc/udev/rules.d/75-persistent-net.rules"),
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> network_items() {
    return kNetworkItems;
}

}  // namespace prebake::identity
