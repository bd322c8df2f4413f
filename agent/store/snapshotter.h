#pragma once

#include <map>
#include <string>

#include "agent/containerd/connection.h"

namespace prebake::store {

/// The snapshotter to unpack into, per namespace.
using Snapshotters = std::map<std::string, std::string>;

/// The snapshotter that the clients of `ns` use: CRI's own for k8s.io, else the namespace's
/// default, else overlayfs.
std::string snapshotter_of(const std::string& ns, const containerd::Connection& connection);

}  // namespace prebake::store
