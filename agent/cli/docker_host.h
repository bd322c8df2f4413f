#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/cli/commands.h"
#include "agent/docker/daemon_file.h"
#include "agent/docker/engine.h"
#include "agent/http/client.h"

namespace prebake::cli {

/// Receives what the operator may want to know.
using Notice = std::function<void(const std::string&)>;

/// What may keep dockerd on the nodes from finding what is baked with this one. `leftovers` are
/// directories of graph drivers that are not empty, though dockerd uses none. Pure.
std::vector<std::string> traps_of(const docker::EngineInfo& info, const docker::DaemonFile& file,
                                  const std::vector<std::string>& leftovers);

/// docker.service, for as long as this object lives.
class StartedDocker {
  public:
    /// @throws Error failed_precondition if it does not start.
    explicit StartedDocker(const std::stop_token& stop);
    ~StartedDocker();
    StartedDocker(const StartedDocker&) = delete;
    StartedDocker& operator=(const StartedDocker&) = delete;
};

/// The dockerd of this machine, while a command works with it.
class DockerHost {
  public:
    /// Connects to the configured socket. If nothing listens there, [docker] start is set and
    /// systemd knows docker.service, starts it for as long as this object lives.
    /// `notice` also gets traps_of() this dockerd.
    /// @throws Error as docker::Engine, with what to do if dockerd does not run; unsupported for a
    /// rootless dockerd, and for user namespaces with images in containerd.
    DockerHost(const Invocation& invocation, const Notice& notice);
    ~DockerHost() = default;
    DockerHost(const DockerHost&) = delete;
    DockerHost& operator=(const DockerHost&) = delete;

    docker::Engine& engine() const { return *engine_; }
    const docker::EngineInfo& info() const { return info_; }

    /// @throws Error usage if dockerd keeps its images in another containerd than the one at
    /// `address`.
    void require_containerd(const std::string& address) const;

  private:
    docker::EngineInfo ask(const Invocation& invocation, const Notice& notice);

    std::optional<StartedDocker> started_;  ///< first: it is stopped when nobody talks to it
    std::unique_ptr<http::Client> client_;
    std::unique_ptr<docker::Engine> engine_;
    docker::EngineInfo info_;
};

/// The socket of the containerd that a dockerd starts for itself where no other one runs.
inline constexpr const char* kContainerdOfDocker = "/var/run/docker/containerd/containerd.sock";

}  // namespace prebake::cli
