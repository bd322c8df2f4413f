#include <algorithm>
#include <array>

#include "agent/identity/items/extra_changes.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kMachineId = "/etc/machine-id";
constexpr std::string_view kDbusMachineId = "/var/lib/dbus/machine-id";
/// 32 digits and a line end. A longer file is replaced without being read.
constexpr std::uint64_t kMaxMachineIdBytes = 64;

bool has_systemd(const machine::Root& root) {
    constexpr std::array kPlaces{"/usr/lib/systemd/systemd", "/lib/systemd/systemd"};
    return std::any_of(kPlaces.begin(), kPlaces.end(),
                       [&root](const char* path) { return root.info(path).has_value(); });
}

/// systemd takes the old ID from a regular file before it generates a new one
/// (machine-id-setup.c). The link to /etc/machine-id that dbus's tmpfiles.d creates is harmless.
bool is_stale_copy(const machine::Root& root) {
    const std::optional<machine::FileInfo> info = root.info(kDbusMachineId);
    if (!info) return false;
    return info->type != machine::FileType::symlink ||
           root.resolved(kDbusMachineId, machine::LastLink::follow) !=
               root.resolved(kMachineId, machine::LastLink::keep);
}

}  // namespace

Changes machine_id_changes(const machine::Root& root, const ItemSettings& settings) {
    const bool is_empty_wanted = settings.machine_id == MachineIdFormat::empty;
    const std::string wanted = is_empty_wanted ? "" : "uninitialized\n";
    const Change write{Change::Kind::write, std::string(kMachineId), wanted};
    Changes changes;
    const std::optional<machine::FileInfo> info = root.info(kMachineId);
    if (!info || info->type != machine::FileType::regular) {
        // Without the file the next boot is a "first boot" and applies all presets, and it fails
        // if /etc is read-only (machine-id(5)). A link is not followed but replaced.
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

}  // namespace prebake::identity
