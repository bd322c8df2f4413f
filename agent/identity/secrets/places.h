#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/machine/named_files.h"
#include "agent/machine/root.h"

namespace prebake::identity::secrets {

/// The administrator's own places, as patterns. What `skip` names is not searched; else what `also`
/// names is, with all below it, even if it belongs to packages or is mounted and not on a disk.
struct SearchPlaces {
    machine::Patterns also;
    machine::Patterns skip;

    bool operator==(const SearchPlaces&) const = default;
};

/// @throws Error usage for a pattern that names no path.
void validate(const SearchPlaces& places);

/// What is searched for secrets: everything on the disks of the machine, except `left_out`. Links
/// are not followed: their targets are searched where they are.
struct SearchArea {
    std::map<std::string, std::string_view> left_out;  ///< existing paths, and why
    std::map<std::string, std::string_view> spared;    ///< the same, by the administrator
    std::set<std::string> also;                        ///< searched, also if they are left out
    std::vector<Error> problems;                       ///< what could not be determined

    /// Why `path` is not searched; empty if it is. `siblings` are all names in its directory: some
    /// directories of container images are recognized by what is beside them.
    std::string_view why_left_out(const std::string& path,
                                  const std::vector<std::string>& siblings) const;

    /// Whether `path` is left out because packages install their files there. Packages are public:
    /// what only its owner may read there is somebody else's.
    bool is_of_packages(const std::string& path) const;

    /// Whether the administrator wants `path`, or a directory above it, to be searched.
    bool is_wanted(std::string_view path) const;
    /// Whether the administrator wants `path`, or a directory above it, not to be searched.
    bool is_spared(std::string_view path) const;
};

/// Left out are container images, files of packages (the same on every machine) and the paths of
/// `kept`, not the targets.
SearchArea search_area(const machine::Root& root, const machine::NamedFiles& kept,
                       const SearchPlaces& places);

/// Why a mounted file system is not searched; empty if it is: it is on a disk, and so becomes part
/// of a machine image, or it is an overlay. By st_dev and statfs(2)'s f_type. Pure.
std::string_view why_not_entered(dev_t device, long type);

/// True for the top directory of a read-only btrfs subvolume: what Snapper and btrbk make. By
/// statfs(2)'s f_type, st_ino and the flags of BTRFS_IOC_SUBVOL_GETFLAGS. Pure.
bool is_read_only_snapshot(long type, ino_t inode, std::uint64_t flags);

}  // namespace prebake::identity::secrets
