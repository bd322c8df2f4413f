#pragma once

#include <string>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity {

/// Directories of a graph driver that no image needs: no record of a layer (layerdb) names them as
/// its cache-id. Paths to remove, in pairs with the short links to them.
struct SpareLayers {
    /// The writable layers of containers, also of those that Docker no longer knows because
    /// somebody removed their files; and layerdb's record of each.
    std::vector<std::string> of_containers;
    /// All others: what BuildKit keeps to build faster, and what broken pulls left.
    std::vector<std::string> of_builds;
};

/// While dockerd runs, a seal has it remove the containers before their files are looked at.
enum class DockerIs { running, stopped };

/// Looks below one of DockerSettings::data_roots. For overlay2, fuse-overlayfs and vfs, whose
/// layers are directories.
/// @throws Error unsupported (containers with another graph driver), failed_precondition (a
/// container runs without dockerd), corrupt (a record that does not say what it needs),
/// untrusted, permission_denied, io.
SpareLayers spare_layers(const machine::Root& root, const std::string& data_root, DockerIs docker);

/// The drivers in whose store `data_root` keeps images; none with the containerd store.
std::vector<std::string> graph_drivers(const machine::Root& root, const std::string& data_root);

}  // namespace prebake::identity
