#include "agent/identity/protected_places.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <climits>
#include <utility>

#include "agent/base/error.h"
#include "agent/identity/items/docker_settings.h"

namespace prebake::identity {
namespace {

/// These, what contains them and what is in them are never removed. Components may end in
/// wildcards.
constexpr std::array<std::string_view, 13> kImagePlaces{
    "/var/lib/containerd/io.containerd.content.*",
    "/var/lib/containerd/io.containerd.metadata.*",
    "/var/lib/containerd/io.containerd.snapshotter.*",
    "/var/lib/containerd-stargz-grpc",
    "/var/lib/containerd-nydus",
    "/var/lib/soci-snapshotter-grpc",
    "/var/lib/containers/storage/overlay*",
    "/var/lib/containers/storage/vfs*",
    "/var/lib/rancher/k3s/agent/containerd/io.containerd.*",
    "/var/lib/rancher/k3s/agent/images",
    "/var/lib/rancher/rke2/agent/containerd/io.containerd.*",
    "/var/lib/rancher/rke2/agent/images",
    "/var/lib/prebake",
};

/// Docker's, below its data root. Of what a containerd that it starts has, only the images.
constexpr std::array<std::string_view, 13> kDockerImagePlaces{
    "/aufs",
    "/btrfs",
    "/containerd/daemon/io.containerd.content.*",
    "/containerd/daemon/io.containerd.metadata.*",
    "/containerd/daemon/io.containerd.snapshotter.*",
    "/devicemapper",
    "/fuse-overlayfs",
    "/image",
    "/overlay",
    "/overlay2",
    "/rootfs",
    "/vfs",
    "/zfs"};
constexpr std::string_view kUsualDockerRoot = "/var/lib/docker";

/// What the machine needs: neither these nor what contains them may be removed. Single files in
/// them may be.
constexpr std::array<std::string_view, 22> kMachinePlaces{
    "/etc/fstab",      "/etc/group",     "/etc/pam.d", "/etc/passwd", "/etc/shadow",
    "/etc/ssl",        "/etc/systemd",   "/usr/bin",   "/usr/lib",    "/usr/lib64",
    "/usr/libexec",    "/usr/local/bin", "/usr/sbin",  "/usr/share",  "/var/lib/dpkg",
    "/var/lib/pacman", "/var/lib/rpm",   "/bin/sh",    "/sbin/init",  "/lib/modules",
    "/lib/systemd",    "/run/systemd",
};

/// The kernel's and the boot loader's directories: nothing in them needs to be sealed.
constexpr std::array<std::string_view, 4> kSystemTrees{"/boot", "/dev", "/proc", "/sys"};

/// containerd's images, also below another root directory.
constexpr std::array<std::string_view, 3> kImageDirectoryNames{
    "io.containerd.content.", "io.containerd.metadata.", "io.containerd.snapshotter."};

std::vector<std::string> components_of(std::string_view path) {
    std::vector<std::string> components;
    while (!path.empty()) {
        const std::string_view component = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(path.size(), component.size() + 1));
        if (!component.empty() && component != ".") components.emplace_back(component);
    }
    return components;
}

std::string_view literal_start(const std::string& component) {
    return std::string_view(component).substr(0, component.find_first_of("*?[\\"));
}

/// Whether a name may match both. With two wildcards: if the text before them agrees, which rather
/// protects too much.
bool may_agree(const std::string& a, const std::string& b) {
    if (a == b || ::fnmatch(a.c_str(), b.c_str(), FNM_PERIOD) == 0 ||
        ::fnmatch(b.c_str(), a.c_str(), FNM_PERIOD) == 0) {
        return true;
    }
    const std::string_view start_a = literal_start(a);
    const std::string_view start_b = literal_start(b);
    if (start_a.size() == a.size() || start_b.size() == b.size()) return false;
    return start_a.starts_with(start_b) || start_b.starts_with(start_a);
}

enum class Relation { apart, at_or_above, inside };

/// The pattern's position relative to the place.
Relation relation(const std::vector<std::string>& pattern, const std::vector<std::string>& place) {
    const std::size_t common = std::min(pattern.size(), place.size());
    for (std::size_t i = 0; i < common; ++i) {
        if (!may_agree(pattern[i], place[i])) return Relation::apart;
    }
    return pattern.size() > place.size() ? Relation::inside : Relation::at_or_above;
}

bool has_image_directory_name(const std::vector<std::string>& components) {
    return std::any_of(components.begin(), components.end(), [](const std::string& component) {
        return std::any_of(kImageDirectoryNames.begin(), kImageDirectoryNames.end(),
                           [&](std::string_view name) { return component.starts_with(name); });
    });
}

[[noreturn]] void refuse(const std::string& pattern, const std::string& reason) {
    throw Error(Errc::usage, "\"" + pattern + "\" cannot be removed: " + reason,
                "name exactly what to remove: an absolute path, or one below ~/");
}

/// A configuration that cannot be read, which the items of Docker report, must not keep all other
/// items from their work.
std::vector<std::string> docker_roots(const machine::Root& root) {
    try {
        return docker_settings(root).data_roots;
    } catch (const Error&) {
        return {std::string(kUsualDockerRoot)};
    }
}

void refuse_image_place(const std::string& pattern, const std::vector<std::string>& components,
                        const std::string& place) {
    if (relation(components, components_of(place)) != Relation::apart)
        refuse(pattern, place + " is never removed");
}

}  // namespace

std::vector<std::string> image_places(const machine::Root& root) {
    std::vector<std::string> names(kImagePlaces.begin(), kImagePlaces.end());
    for (const std::string& docker_root : docker_roots(root)) {
        for (const std::string_view place : kDockerImagePlaces)
            names.push_back(docker_root + std::string(place));
    }
    std::vector<std::string> places;
    for (const std::string& name : names) {
        places.push_back(name);
        std::string real = root.resolved(name, machine::LastLink::follow);
        if (real != name) places.push_back(std::move(real));
    }
    return places;
}

bool touches(const std::string& path, const std::vector<std::string>& places) {
    const std::vector<std::string> components = components_of(path);
    if (has_image_directory_name(components)) return true;
    return std::any_of(places.begin(), places.end(), [&](const std::string& place) {
        return relation(components, components_of(place)) != Relation::apart;
    });
}

void validate_pattern(const std::string& pattern) {
    const bool is_below_homes = pattern.starts_with("~/");
    if (!is_below_homes && !pattern.starts_with('/'))
        refuse(pattern, "it is neither absolute nor below ~/");
    if (pattern.size() >= PATH_MAX) refuse(pattern.substr(0, 80) + "...", "it is too long");
    if (std::any_of(pattern.begin(), pattern.end(),
                    [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
        refuse(pattern, "it contains control characters");
    const std::vector<std::string> components = components_of(pattern);
    if (std::count(components.begin(), components.end(), "..") != 0)
        refuse(pattern, "it contains \"..\"");
    if (components.size() < 2) refuse(pattern, "it is a whole top-level directory");
    if (has_image_directory_name(components)) refuse(pattern, "container images are stored there");
    if (is_below_homes) return;
    for (const std::string_view place : kImagePlaces)
        refuse_image_place(pattern, components, std::string(place));
    for (const std::string_view place : kDockerImagePlaces)
        refuse_image_place(pattern, components, std::string(kUsualDockerRoot) + std::string(place));
    for (const std::string_view place : kMachinePlaces) {
        if (relation(components, components_of(place)) == Relation::at_or_above)
            refuse(pattern, "the machine needs " + std::string(place));
    }
    for (const std::string_view tree : kSystemTrees) {
        if (relation(components, components_of(tree)) != Relation::apart)
            refuse(pattern, "nothing in " + std::string(tree) + " is ever removed");
    }
}

}  // namespace prebake::identity
