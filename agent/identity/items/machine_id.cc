#include <algorithm>
#include <array>

#include "agent/identity/items/all.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kMachineId = "/etc/machine-id";
constexpr std::string_view kDbusMachineId = "/var/lib/dbus/machine-id";
/// 32 digits and a line end; more is no machine-id, and goes whatever it says.
constexpr std::uint64_t kMaxMachineIdBytes = 64;

bool has_systemd(const machine::Root& root) {
    constexpr std::array kPlaces{"/usr/lib/systemd/systemd", "/lib/systemd/systemd"};
    return std::any_of(kPlaces.begin(), kPlaces.end(),
                       [&root](const char* path) { return root.info(path).has_value(); });
}

/// A regular file is where systemd looks for the old id before it makes a new one
/// (machine-id-setup.c); the link to /etc/machine-id that dbus's tmpfiles.d makes is harmless.
bool is_stale_copy(const machine::Root& root) {
    const std::optional<machine::FileInfo> info = root.info(kDbusMachineId);
    if (!info) return false;
    return info->type != machine::FileType::symlink ||
           root.resolved(kDbusMachineId, machine::LastLink::follow) !=
               root.resolved(kMachineId, machine::LastLink::keep);
}

Changes further(const machine::Root& root, const ItemSettings& settings) {
    const bool is_empty_wanted = settings.machine_id == MachineIdForm::empty;
    const std::string wanted = is_empty_wanted ? "" : "uninitialized\n";
    const Change write{Change::Kind::write, std::string(kMachineId), wanted};
    Changes changes;
    const std::optional<machine::FileInfo> info = root.info(kMachineId);
    if (!info || info->type != machine::FileType::regular) {
        // Missing means first boot and with it preset-all, and if /etc is read-only then, the boot
        // fails (machine-id(5)). A link is not followed: the file takes its place.
        if (info || has_systemd(root)) changes.push_back(write);
    } else if (is_empty_wanted) {
        if (info->size > 0)
            changes.push_back({Change::Kind::truncate, std::string(kMachineId), {}});
    } else if (info->size > kMaxMachineIdBytes ||
               root.read(kMachineId, kMaxMachineIdBytes) != wanted) {
        changes.push_back(write);
    }
    if (is_stale_copy(root))
        changes.push_back({Change::Kind::remove, std::string(kDbusMachineId), {}});
    return changes;
}

}  // namespace

Item machine_id_item() {
    return {
        .name = "machine-id",
        .order = 40,
        .why =
            "Clones would share whatever is derived from it: DHCP client ids, D-Bus and journal "
            "ids, MAC addresses of bridges, the names of hybrid SSM nodes.",
        .back =
            "systemd makes a new one at the next boot (on EC2 from the instance's SMBIOS UUID) "
            "and commits it.",
        .on_clone = OnClone::renew,
        .further = further,
        .further_says =
            "empties /etc/machine-id, or writes \"uninitialized\" to it where that is configured; "
            "removes /var/lib/dbus/machine-id unless it is a link to it",
        .proofs = {"/etc/machine-id", "/var/lib/dbus/machine-id"},
    };
}

}  // namespace prebake::identity
