#pragma once

#include <string>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::cli {

/// A unit that starts containerd or dockerd and that somebody made wait for us.
struct UnitThatWaits {
    std::string unit;    ///< "k3s.service"
    std::string file;    ///< where it says so
    std::string starts;  ///< "containerd", "dockerd"
    /// It is ordered after prebake-ready.target: neither becomes ready before readiness.deadline.
    /// If not, it only wants the target, and starts without waiting.
    bool is_ordered = false;
};

/// The units that start containerd themselves (k3s, RKE2, k0s, nodeadm, snaps, containerd's own)
/// and that name prebake-ready.target, by the unit files, drop-ins and links in `root`: they cannot
/// wait for the target, which needs the containerd that they start. docker.service is one of them
/// if `needs_docker`, which is that images were baked for dockerd, or if `address`, containerd's
/// socket, is that of a containerd which Docker starts. Files that cannot be read are left out.
std::vector<UnitThatWaits> units_that_wait(const machine::Root& root, const std::string& address,
                                           bool needs_docker);

/// One sentence: which unit, why it cannot wait, and where that is configured.
std::string describe(const UnitThatWaits& waiting);

}  // namespace prebake::cli
