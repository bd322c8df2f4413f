#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/machine/root.h"

namespace prebake::machine {

/// Whether a file system is on another machine, by statfs(2)'s f_type. False for FUSE, which may be
/// anything. Pure.
bool is_on_network(long type);

/// Who a path belongs to, by the mount that it is on.
enum class Belonging {
    machine,         ///< the machine in the root: its own disks, wherever they are mounted
    nobody,          ///< /dev, /proc, /run and /sys that are mounted into an image
    network,         ///< a file server
    running_machine  ///< the machine that we run on, bind-mounted into the image
};

/// Finds what is mounted in a tree but does not belong to its machine: removing it would take it
/// from others. The file system of the root itself belongs to the machine, also on a network (an
/// image on an NFS share).
class AttachedPlaces {
  public:
    using IsOnNetwork = bool (*)(long type);
    explicit AttachedPlaces(const Root& root, IsOnNetwork is_on_network_type = is_on_network)
        : root_(root), is_on_network_(is_on_network_type) {}

    struct Place {
        Belonging belonging = Belonging::machine;
        std::string mount;  ///< inside the root; "/" for what lies on no other mount
    };
    /// The place of the directory of `path`. The path is resolved; the directory need not exist.
    /// @throws Error permission_denied, io.
    const Place& place_of(const std::string& path);

  private:
    Place find_place(const std::string& directory) const;

    const Root& root_;
    IsOnNetwork is_on_network_;
    std::map<std::string, Place> known_;  // by directory
};

/// Why a place must not be changed; nothing if it belongs to the machine or to nobody.
std::optional<Error> why_not_to_change(const Root& root, const AttachedPlaces::Place& place);

}  // namespace prebake::machine
