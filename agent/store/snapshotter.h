#pragma once

#include <map>
#include <string>

#include "agent/containerd/connection.h"

namespace prebake::store {

/// The snapshotter to unpack into, by namespace.
using Snapshotters = std::map<std::string, std::string>;

/// The snapshotter that the clients of `ns` use: for k8s.io that of CRI, else the default of the
/// namespace, else overlayfs.
std::string snapshotter_of(const std::string& ns, const containerd::Connection& connection);
/// The same without asking CRI.
std::string default_snapshotter_of(const std::string& ns, const containerd::Connection& connection);

}  // namespace prebake::store
