#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"

namespace prebake::containerd {

struct Plugin {
    std::string type;  ///< "io.containerd.snapshotter.v1"
    std::string id;    ///< "overlayfs"
    std::vector<std::string> capabilities;
    std::map<std::string, std::string> exports;  ///< "root" is the plugin's directory
    std::string init_error;                      ///< empty: the plugin works
};

/// containerd.services.introspection.v1
std::vector<Plugin> plugins(const Connection& connection);

/// The label containerd.io/defaults/snapshotter of a namespace; empty if it has none or does not
/// exist.
std::string default_snapshotter_of(const Connection& connection, const std::string& ns);

}  // namespace prebake::containerd
