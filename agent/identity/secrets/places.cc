#include "agent/identity/secrets/places.h"

#include <linux/magic.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace prebake::identity::secrets {
namespace {

constexpr std::array<std::string_view, 8> kPlaces{"/etc",       "/root", "/home", "/var/lib",
                                                  "/var/spool", "/opt",  "/srv",  "/usr/local"};

/// Patterns.
constexpr std::array<std::string_view, 35> kLeftOut{
    // Container images. Volumes, containers, secrets and swarm state are not images.
    "/var/lib/containerd",
    "/var/lib/containerd-nydus",
    "/var/lib/containerd-stargz-grpc",
    "/var/lib/containers/storage/overlay*",
    "/var/lib/containers/storage/vfs*",
    "/var/lib/docker/aufs",
    "/var/lib/docker/btrfs",
    "/var/lib/docker/buildkit",
    "/var/lib/docker/containerd",
    "/var/lib/docker/devicemapper",
    "/var/lib/docker/fuse-overlayfs",
    "/var/lib/docker/image",
    "/var/lib/docker/overlay2",
    "/var/lib/docker/rootfs",
    "/var/lib/docker/vfs",
    "/var/lib/docker/zfs",
    "/var/lib/rancher/*/agent/containerd",
    "/var/lib/rancher/*/agent/images",
    "/var/lib/soci-snapshotter-grpc",
    "~/.local/share/containerd",
    "~/.local/share/containers/storage/overlay*",
    "~/.local/share/containers/storage/vfs*",
    "~/.local/share/docker",
    // Snaps are read-only images.
    "/var/lib/snapd/seed",
    "/var/lib/snapd/snap",
    "/var/lib/snapd/snaps",
    // Files and databases of package managers.
    "/usr/local/share/doc",
    "/usr/local/share/man",
    "/var/lib/apt/lists",
    "/var/lib/dnf",
    "/var/lib/dpkg",
    "/var/lib/pacman",
    "/var/lib/rpm",
    "/var/lib/yum",
    "/var/lib/zypp",
};

template <typename Work>
void attempt(SearchArea& area, const Work& work) {
    try {
        work();
    } catch (const Error& error) {
        area.problems.push_back(error);
    }
}

/// The target of the link `path`, if the link belongs to the machine's owner, as in survey(), and
/// the target is not a whole place, which would then not be searched.
std::optional<std::string> followed(const machine::Root& root, const std::string& path,
                                    const SearchArea& area) {
    const auto link = root.info(path);
    const auto top = root.info("/");
    if (!link || link->type != machine::FileType::symlink || !top || link->uid != top->uid)
        return {};
    const std::string target = root.resolved(path, machine::LastLink::follow);
    const auto below = area.places.lower_bound(target + "/");
    const bool holds_a_place = area.places.count(target) != 0 ||
                               (below != area.places.end() && below->starts_with(target + "/"));
    if (target == "/" || holds_a_place) return {};
    return target;
}

void leave_out(const machine::Root& root, std::string_view pattern, machine::LastLink last,
               SearchArea& area) {
    attempt(area, [&] {
        for (const std::string& path : root.match(pattern, area.problems)) {
            const std::string name = root.resolved(path, machine::LastLink::keep);
            area.left_out.insert(name);
            if (last == machine::LastLink::keep) continue;
            if (const auto target = followed(root, name, area)) area.left_out.insert(*target);
        }
    });
}

}  // namespace

bool SearchArea::is_left_out(const std::string& path) const {
    if (left_out.count(path) != 0) return true;
    // containerd's images, also below another root directory.
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    static constexpr std::array<std::string_view, 3> kImages{
        "io.containerd.content.", "io.containerd.metadata.", "io.containerd.snapshotter."};
    return std::any_of(kImages.begin(), kImages.end(),
                       [&](std::string_view start) { return name.starts_with(start); });
}

SearchArea search_area(const machine::Root& root, const machine::Patterns& keep) {
    SearchArea area;
    std::vector<std::string> wanted(kPlaces.begin(), kPlaces.end());
    attempt(area, [&] {
        for (std::string& home : root.home_directories()) wanted.push_back(std::move(home));
    });
    for (const std::string& path : wanted) {
        attempt(area, [&] {
            const std::string directory = root.resolved(path, machine::LastLink::follow);
            const auto info = root.info(directory);
            if (info && info->type == machine::FileType::directory) area.places.insert(directory);
        });
    }
    for (const std::string_view pattern : kLeftOut)
        leave_out(root, pattern, machine::LastLink::follow, area);
    for (const std::string& pattern : keep) leave_out(root, pattern, machine::LastLink::keep, area);
    // The home of a system account may be in a directory that is left out (rpm's is /var/lib/rpm).
    std::erase_if(area.places, [&](std::string above) {
        while (!above.empty()) {
            if (area.is_left_out(above)) return true;
            above.resize(above.rfind('/'));
        }
        return false;
    });
    return area;
}

bool is_on_disk(dev_t device, long type) {
    // Their device numbers belong to no driver, as those of file systems in memory.
    constexpr long kZfs = 0x2fc12fc1;
    constexpr long kBcachefs = 0xca451a4e;
    return ::major(device) != 0 || type == BTRFS_SUPER_MAGIC || type == kZfs || type == kBcachefs;
}

}  // namespace prebake::identity::secrets
