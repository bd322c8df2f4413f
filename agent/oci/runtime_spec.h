#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/oci/container_user.h"

/// Running an image. Pure.
namespace prebake::oci {

/// What an image config says about running it (OCI image-spec, config.md).
struct RunConfig {
    std::vector<std::string> entrypoint;
    std::vector<std::string> command;
    std::vector<std::string> environment;  ///< "NAME=value"
    std::string directory;                 ///< empty: the root
    std::string user;                      ///< for resolve_user()
};

/// @throws Error like parse_image_config().
RunConfig parse_run_config(std::string_view json);

/// The program and its arguments: the entrypoint, then `command`, or the image's if that is empty.
/// @throws Error usage if there is nothing to run.
std::vector<std::string> program_of(const RunConfig& config,
                                    const std::vector<std::string>& command);

enum class ContainerNetwork {
    loopback,  ///< its own, in which nothing else is
    host,
};

/// A file of this machine at a place of the container, read-only.
struct BoundFile {
    std::string file;
    std::string place;
};

struct RuntimeOptions {
    std::vector<std::string> program;  ///< from program_of()
    ContainerUser user;
    ContainerNetwork network = ContainerNetwork::loopback;
    std::string cgroup;  ///< its path below the root of all
    std::vector<BoundFile> files = {};
};

/// config.json of the OCI runtime-spec 1.0, for a container like those of pods: without a terminal,
/// with the capabilities and mounts that CRI gives by default.
std::string runtime_spec(const RunConfig& config, const RuntimeOptions& options);

}  // namespace prebake::oci
