#include "agent/identity/secrets/places.h"

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <optional>

namespace prebake::identity::secrets {
namespace {

constexpr std::string_view kImages = "container images";
constexpr std::string_view kSnaps = "read-only snaps";
constexpr std::string_view kPackages = "files of packages, except private ones";
constexpr std::string_view kStores = "a store of packages, the same on every machine";
constexpr std::string_view kServices =
    "private to running services, which remove it when they stop";
constexpr std::string_view kKept = "kept by seal.keep";
constexpr std::string_view kSkipped = "left out by seal.scan_skip";

struct Rule {
    std::string_view pattern;
    std::string_view reason;
};

constexpr Rule kLeftOut[]{
    // Volumes, containers, secrets and swarm state are not images.
    {"/var/lib/buildkit", kImages},
    {"/var/lib/containerd", kImages},
    {"/var/lib/containerd-nydus", kImages},
    {"/var/lib/containerd-stargz-grpc", kImages},
    {"/var/lib/containers/storage/overlay*", kImages},
    {"/var/lib/containers/storage/vfs*", kImages},
    {"/var/lib/docker/aufs", kImages},
    {"/var/lib/docker/btrfs", kImages},
    {"/var/lib/docker/buildkit", kImages},
    {"/var/lib/docker/containerd", kImages},
    {"/var/lib/docker/devicemapper", kImages},
    {"/var/lib/docker/fuse-overlayfs", kImages},
    {"/var/lib/docker/image", kImages},
    {"/var/lib/docker/overlay2", kImages},
    {"/var/lib/docker/plugins/*/rootfs", kImages},
    {"/var/lib/docker/plugins/storage", kImages},
    {"/var/lib/docker/rootfs", kImages},
    {"/var/lib/docker/vfs", kImages},
    {"/var/lib/docker/zfs", kImages},
    {"/var/lib/k0s/containerd", kImages},
    {"/var/lib/rancher/*/agent/containerd", kImages},
    {"/var/lib/rancher/*/agent/images", kImages},
    {"/var/lib/soci-snapshotter-grpc", kImages},
    {"/var/snap/*/common/var/lib/containerd", kImages},
    {"~/.local/share/containerd", kImages},
    {"~/.local/share/containers/storage/overlay*", kImages},
    {"~/.local/share/containers/storage/vfs*", kImages},
    {"~/.local/share/docker", kImages},
    {"/snap", kSnaps},
    {"/var/lib/snapd/cache", kSnaps},
    {"/var/lib/snapd/seed", kSnaps},
    {"/var/lib/snapd/snap", kSnaps},
    {"/var/lib/snapd/snaps", kSnaps},
    // Links to /usr, or directories on older systems.
    {"/bin", kPackages},
    {"/lib", kPackages},
    {"/lib32", kPackages},
    {"/lib64", kPackages},
    {"/libx32", kPackages},
    {"/sbin", kPackages},
    // Not /usr/share and /usr/local: services keep data there.
    {"/usr/bin", kPackages},
    {"/usr/games", kPackages},
    {"/usr/include", kPackages},
    {"/usr/lib", kPackages},
    {"/usr/lib32", kPackages},
    {"/usr/lib64", kPackages},
    {"/usr/libexec", kPackages},
    {"/usr/libx32", kPackages},
    {"/usr/sbin", kPackages},
    {"/usr/src", kPackages},
    // Libraries in languages whose packages come with tests and their keys.
    {"/usr/share/cargo", kPackages},
    {"/usr/share/cmake*", kPackages},
    {"/usr/share/gocode", kPackages},
    {"/usr/share/nodejs", kPackages},
    {"/usr/share/perl*", kPackages},
    {"/usr/share/php", kPackages},
    {"/usr/share/python3", kPackages},
    {"/usr/share/ruby*", kPackages},
    {"/usr/share/doc", kPackages},
    {"/usr/share/info", kPackages},
    {"/usr/share/licenses", kPackages},
    {"/usr/share/locale", kPackages},
    {"/usr/share/man", kPackages},
    {"/usr/local/share/doc", kPackages},
    {"/usr/local/share/man", kPackages},
    {"/gnu/store", kStores},
    {"/nix/store", kStores},
    // Of the deployments: /var is searched where it is mounted.
    {"/sysroot/ostree", kStores},
    {"/var/cache/apt", kStores},
    {"/var/cache/dnf", kStores},
    {"/var/cache/libdnf5", kStores},
    {"/var/cache/man", kStores},
    {"/var/cache/pacman", kStores},
    {"/var/cache/yum", kStores},
    {"/var/cache/zypp", kStores},
    {"/var/lib/apt/lists", kStores},
    {"/var/lib/dnf", kStores},
    {"/var/lib/dpkg", kStores},
    {"/var/lib/flatpak", kStores},
    {"/var/lib/pacman", kStores},
    {"/var/lib/rpm", kStores},
    {"/var/lib/yum", kStores},
    {"/var/lib/zypp", kStores},
};

/// Only on the running machine: in an image, what is there stays.
constexpr std::array<std::string_view, 4> kPrivate{
    "/tmp/snap-private-tmp", "/tmp/systemd-private-*", "/var/tmp/snap-private-tmp",
    "/var/tmp/systemd-private-*"};

/// Places that a link must not exclude from the search, nor what contains them.
constexpr std::array<std::string_view, 9> kAlwaysSearched{
    "/etc", "/root", "/home", "/opt", "/srv", "/usr/local", "/var", "/var/lib", "/var/spool"};

/// containerd's images, below any root directory.
constexpr std::array<std::string_view, 3> kContainerdNames{
    "io.containerd.content.", "io.containerd.metadata.", "io.containerd.snapshotter."};

/// Docker's images, below any data root.
constexpr std::array<std::string_view, 12> kDockerNames{
    "aufs",  "btrfs",   "buildkit", "containerd", "devicemapper", "fuse-overlayfs",
    "image", "overlay", "overlay2", "rootfs",     "vfs",          "zfs"};

bool holds(const std::vector<std::string>& sorted, std::string_view name) {
    return std::binary_search(sorted.begin(), sorted.end(), name, std::less<>());
}

template <typename Work>
void attempt(SearchArea& area, const Work& work) {
    try {
        work();
    } catch (const Error& error) {
        area.problems.push_back(error);
    }
}

bool is_at_or_above(std::string_view path, std::string_view place) {
    return place == path || (place.starts_with(path) && place.substr(path.size()).starts_with('/'));
}

/// The target of the link `path`, if the link is trusted, as in survey(), and the target is not a
/// whole place, which would then not be searched.
std::optional<std::string> followed(const machine::Root& root, const std::string& path,
                                    const std::vector<std::string>& homes) {
    const auto link = root.info(path);
    if (!link || link->type != machine::FileType::symlink) return {};
    std::string target;
    try {
        target = root.resolved_for_change(path, machine::LastLink::follow);
    } catch (const Error&) {
        return {};  // it does not decide what is searched
    }
    const auto excludes = [&](std::string_view place) { return is_at_or_above(target, place); };
    const bool is_top_level = target.rfind('/') == 0;
    if (is_top_level || std::any_of(kAlwaysSearched.begin(), kAlwaysSearched.end(), excludes) ||
        std::any_of(homes.begin(), homes.end(), excludes)) {
        return {};
    }
    return target;
}

}  // namespace

std::string_view SearchArea::why_left_out(const std::string& path,
                                          const std::vector<std::string>& siblings) const {
    const auto choice = spared.find(path);
    if (choice != spared.end()) return choice->second;
    if (is_wanted(path)) return {};
    const auto rule = left_out.find(path);
    if (rule != left_out.end()) return rule->second;
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    const auto starts_name = [name](std::string_view start) { return name.starts_with(start); };
    if (std::any_of(kContainerdNames.begin(), kContainerdNames.end(), starts_name)) return kImages;
    // What a running container has mounted, if containerd's state is on a disk (MicroK8s).
    if (name == "rootfs" && path.find("/io.containerd.runtime.") != std::string::npos)
        return kImages;
    // Docker's data root elsewhere ("data-root" in daemon.json), or mounted a second time.
    if (std::count(kDockerNames.begin(), kDockerNames.end(), name) != 0 &&
        holds(siblings, "plugins") && holds(siblings, "volumes")) {
        return kImages;
    }
    // Podman's and CRI-O's storage (graphroot).
    for (const std::string_view driver : {"overlay", "vfs", "btrfs", "zfs"}) {
        if (name.starts_with(driver) && holds(siblings, std::string(driver) + "-images") &&
            holds(siblings, std::string(driver) + "-layers")) {
            return kImages;
        }
    }
    return {};
}

bool SearchArea::is_of_packages(const std::string& path) const {
    const auto rule = left_out.find(path);
    return rule != left_out.end() && rule->second == kPackages && spared.count(path) == 0;
}

bool SearchArea::is_wanted(std::string_view path) const {
    return std::any_of(also.begin(), also.end(),
                       [&](const std::string& place) { return is_at_or_above(place, path); });
}

bool SearchArea::is_spared(std::string_view path) const {
    return std::any_of(spared.begin(), spared.end(),
                       [&](const auto& place) { return is_at_or_above(place.first, path); });
}

void validate(const SearchPlaces& places) {
    machine::validate("seal.scan_also", places.also);
    machine::validate("seal.scan_skip", places.skip);
}

SearchArea search_area(const machine::Root& root, const machine::NamedFiles& kept,
                       const SearchPlaces& places) {
    SearchArea area;
    std::vector<std::string> homes;
    attempt(area, [&] { homes = root.home_directories(area.problems); });
    const auto leave_out = [&](std::string_view pattern, std::string_view reason,
                               machine::LastLink last) {
        attempt(area, [&] {
            for (const std::string& path : root.match(pattern, area.problems)) {
                attempt(area, [&] {
                    const std::string name = root.resolved_for_change(path);
                    area.left_out.try_emplace(name, reason);
                    if (last == machine::LastLink::keep) return;
                    if (const auto target = followed(root, name, homes))
                        area.left_out.try_emplace(*target, reason);
                });
            }
        });
    };
    for (const Rule& rule : kLeftOut)
        leave_out(rule.pattern, rule.reason, machine::LastLink::follow);
    if (root.is_running_machine()) {
        for (const std::string_view pattern : kPrivate)
            leave_out(pattern, kServices, machine::LastLink::keep);
    }
    for (const std::string& path : kept.paths) area.spared.try_emplace(path, kKept);
    // What a user's link leads to is searched like everything else.
    std::erase_if(area.problems,
                  [](const Error& problem) { return problem.code() == Errc::untrusted; });
    attempt(area, [&] {
        // A link that is not followed is left out alone: what it leads to is searched.
        for (const std::string& path : machine::named_files(root, places.skip).paths)
            area.spared.try_emplace(path, kSkipped);
    });
    attempt(area, [&] {
        machine::NamedFiles also = machine::named_files(root, places.also);
        area.also.merge(also.paths);
        area.also.merge(also.targets);
        area.problems.insert(area.problems.end(), also.problems.begin(), also.problems.end());
    });
    return area;
}

std::string_view why_not_entered(dev_t device, long type) {
    constexpr long kZfs = 0x2fc12fc1;
    constexpr long kBcachefs = 0xca451a4e;
    if (type == SQUASHFS_MAGIC || type == ISOFS_SUPER_MAGIC || type == EROFS_SUPER_MAGIC_V1) {
        return "a read-only image is mounted there";
    }
    // The device numbers of these belong to no driver, as those of file systems in memory. The
    // layers of an overlay are on a disk, but not below their own names: /etc on Flatcar, and with
    // systemd-confext.
    const bool is_on_disk = ::major(device) != 0 || type == BTRFS_SUPER_MAGIC || type == kZfs ||
                            type == kBcachefs || type == OVERLAYFS_SUPER_MAGIC;
    return is_on_disk ? std::string_view() : "what is mounted there is not on a disk";
}

bool is_read_only_snapshot(long type, ino_t inode, std::uint64_t flags) {
    return type == BTRFS_SUPER_MAGIC && inode == BTRFS_FIRST_FREE_OBJECTID &&
           (flags & BTRFS_SUBVOL_RDONLY) != 0;
}

}  // namespace prebake::identity::secrets
