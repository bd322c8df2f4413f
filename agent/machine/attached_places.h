#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/machine/root.h"

namespace prebake::machine {

/// Whether a file system is on another machine, by statfs(2)'s f_type. FUSE is not: it may be
/// anything. Pure.
bool is_on_network(long type);

/// Whose a path is, by the mount that it lies on.
enum class Belonging {
    machine,         ///< of the machine in the root: its own disks, wherever they are mounted
    nobody,          ///< of an image's /dev, /proc, /run and /sys while they are mounted
    network,         ///< of the server
    running_machine  ///< bind-mounted from the machine that we run on into the image
};

/// Tells what is in a tree and yet no part of its machine: what is removed there is lost to others.
/// What lies on the file system of the root itself is the machine's, network or not (an image on an
/// NFS share).
class AttachedPlaces {
  public:
    using IsOnNetwork = bool (*)(long type);
    explicit AttachedPlaces(const Root& root, IsOnNetwork is_on_network_type = is_on_network)
        : root_(root), is_on_network_(is_on_network_type) {}

    struct Place {
        Belonging belonging = Belonging::machine;
        std::string mount;  ///< inside the root; "/" for what lies on no other mount
    };
    /// Of the directory that `path`, a resolved one, is in; it need not exist.
    /// @throws Error permission_denied, io.
    const Place& place_of(const std::string& path);

  private:
    Place look_at(const std::string& directory) const;

    const Root& root_;
    IsOnNetwork is_on_network_;
    std::map<std::string, Place> known_;  // by directory
};

/// Why the place must not be changed. Nothing for what is the machine's, or nobody's.
std::optional<Error> why_not_to_change(const Root& root, const AttachedPlaces::Place& place);

}  // namespace prebake::machine
