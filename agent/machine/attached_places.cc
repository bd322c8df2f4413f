#include "agent/machine/attached_places.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/machine/file_calls.h"

namespace prebake::machine {
namespace {

/// What every boot mounts again.
constexpr std::array<std::string_view, 4> kVolatile{"/dev", "/proc", "/run", "/sys"};

std::string directory_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

bool is_volatile(const std::string& path) {
    return std::any_of(kVolatile.begin(), kVolatile.end(), [&](std::string_view place) {
        return (path + "/").starts_with(std::string(place) + "/");
    });
}

/// A directory is found twice, under one name, only if it is a bind mount.
bool is_running_machines(const Root& root, const std::string& mount) {
    const std::optional<FileStatus> status =
        status_at(root.open_directory(mount).get(), "", root.outside(mount));
    const std::optional<FileStatus> own = status_at(AT_FDCWD, mount, mount);
    return status && own && status->id == own->id;
}

}  // namespace

bool is_on_network(long type) {
    // Not in linux/magic.h: Lustre, GPFS, OCFS2, BeeGFS and PanFS.
    constexpr std::array<long, 14> kTypes{
        NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, V9FS_MAGIC,
        CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC, AFS_FS_MAGIC,     CODA_SUPER_MAGIC, 0x0bd00bd0,
        0x47504653,       0x7461636f,      0x19830326,       0xaad7aaea};
    return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

AttachedPlaces::Place AttachedPlaces::find_place(const std::string& directory) const {
    Place place{.belonging = Belonging::machine, .mount = directory};
    while (place.mount != "/") {
        const std::optional<FileInfo> info = root_.info(place.mount);
        if (info && info->is_mount) break;
        place.mount = directory_of(place.mount);
    }
    if (place.mount == "/") return place;
    struct statfs file_system {};
    if (::fstatfs(root_.open_directory(place.mount).get(), &file_system) != 0)
        throw file_error("cannot look at the file system of", root_.outside(place.mount));
    if (!root_.is_running_machine() && is_volatile(place.mount)) {
        place.belonging = Belonging::nobody;
    } else if (is_on_network_(static_cast<long>(file_system.f_type))) {
        place.belonging = Belonging::network;
    } else if (!root_.is_running_machine() && is_running_machines(root_, place.mount)) {
        place.belonging = Belonging::running_machine;
    }
    return place;
}

const AttachedPlaces::Place& AttachedPlaces::place_of(const std::string& path) {
    const std::string directory = directory_of(path);
    const auto there = known_.find(directory);
    if (there != known_.end()) return there->second;
    return known_.emplace(directory, find_place(directory)).first->second;
}

std::optional<Error> why_not_to_change(const Root& root, const AttachedPlaces::Place& place) {
    const std::string name = root.outside(place.mount).string();
    switch (place.belonging) {
        case Belonging::machine:
        case Belonging::nobody:
            return std::nullopt;
        case Belonging::network:
            return Error(Errc::failed_precondition,
                         name + " is on a network file system: it is not part of this machine",
                         "unmount it or add it to [seal] keep");
        case Belonging::running_machine:
            return Error(Errc::failed_precondition,
                         name +
                             " is mounted there from the machine that this runs on: it is not "
                             "part of the image",
                         "unmount it, then seal again");
    }
    return std::nullopt;
}

}  // namespace prebake::machine
