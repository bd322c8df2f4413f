#include <algorithm>
#include <array>

#include "agent/base/text.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/identity/items/temporary_files.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr std::array<std::string_view, 5> kMadeAtBoot{".X11-unix", ".ICE-unix", ".XIM-unix",
                                                      ".font-unix", ".Test-unix"};

/// Without dashes, as in the names of systemd's private directories.
std::string boot_id_of(const machine::Root& root) {
    std::string id = root.read("/proc/sys/kernel/random/boot_id", kMaxTextBytes).value_or("");
    id.erase(std::remove(id.begin(), id.end(), '-'), id.end());
    return std::string(trimmed(id));
}

}  // namespace

bool is_in_use(std::string_view name, std::string_view boot_id) {
    if (name == "snap-private-tmp") return true;
    if (std::count(kMadeAtBoot.begin(), kMadeAtBoot.end(), name) != 0) return true;
    return name.starts_with("systemd-private-") && !boot_id.empty() &&
           name.find(boot_id) != std::string_view::npos;
}

Changes temporary_files_changes(const machine::Root& root, const ItemSettings&) {
    const std::string boot_id = root.is_running_machine() ? boot_id_of(root) : "";
    Changes changes;
    for (const char* const directory : {"/tmp/", "/var/tmp/"}) {
        for (const std::string& name : root.names_in(directory)) {
            if (root.is_running_machine() && is_in_use(name, boot_id)) continue;
            changes.push_back({Change::Kind::remove, directory + name, {}});
        }
    }
    return changes;
}

}  // namespace prebake::identity
