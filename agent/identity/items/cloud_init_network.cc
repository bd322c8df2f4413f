#include <algorithm>
#include <array>

#include "agent/base/text.h"
#include "agent/identity/items/all.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/cloud_init.h"

namespace prebake::identity {
namespace {

/// `cloud-init clean --configs network`, and what other releases call the same files.
constexpr std::array<std::string_view, 7> kRendered{
    "/etc/netplan/50-cloud-init.yaml",
    "/etc/NetworkManager/conf.d/99-cloud-init.conf",
    "/etc/NetworkManager/conf.d/30-cloud-init-ip6-addr-gen-mode.conf",
    "/etc/NetworkManager/system-connections/cloud-init-*.nmconnection",
    "/etc/systemd/network/10-cloud-init-*.network",
    "/etc/network/interfaces.d/50-cloud-init",
    "/etc/network/interfaces.d/50-cloud-init.cfg"};

bool disables_network(const machine::Root& root, const std::string& path) {
    const std::string text = root.read(path, kMaxTextBytes).value_or("");
    const std::vector<std::string_view> lines = lines_of(text);
    return std::any_of(lines.begin(), lines.end(), [](std::string_view line) {
        line = line.substr(0, line.find('#'));
        return line.find("config: disabled") != std::string_view::npos;
    });
}

/// Whether cloud-init will write the network's configuration again. If nobody does, a clone without
/// it has no network at all.
bool is_rendered_again(const machine::Root& root) {
    if (!machine::cloud_init_is_active(root)) return false;
    for (const char* const pattern : {"/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg"}) {
        for (const std::string& path : root.match(pattern)) {
            if (disables_network(root, path)) return false;
        }
    }
    return true;
}

Changes further(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    if (!is_rendered_again(root)) return changes;
    for (const std::string_view pattern : kRendered) {
        for (std::string& path : root.match(pattern))
            changes.push_back({Change::Kind::remove, std::move(path), {}});
    }
    return changes;
}

}  // namespace

Item cloud_init_network_item() {
    return {
        .name = "cloud-init-network",
        .order = 150,
        .why = "It is pinned to the MAC address of the builder, so that a clone has no network.",
        .back = "cloud-init renders it for the instance before the network is set up.",
        .further = further,
        .further_says =
            "removes the network configuration that cloud-init rendered (netplan, NetworkManager, "
            "systemd-networkd, ifupdown), unless cloud-init would not render it again",
    };
}

}  // namespace prebake::identity
