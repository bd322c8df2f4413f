#include "agent/cli/docker_host.h"

#include <filesystem>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/process.h"
#include "agent/cli/log.h"

namespace prebake::cli {
namespace {

constexpr const char* kUnit = "docker.service";
/// systemd starts dockerd when somebody connects to this one.
constexpr const char* kSocketUnit = "docker.socket";

CommandResult systemctl(std::vector<std::string> arguments, const std::stop_token& stop) {
    arguments.insert(arguments.begin(), "systemctl");
    return run_command({.arguments = std::move(arguments), .time_limit = std::chrono::minutes(2)},
                       stop);
}

/// Docker's packages allow three starts a minute, and a build may plan, bake and verify in less.
void forget_starts(const std::stop_token& stop) {
    // One by one: the socket may not be there.
    for (const char* const unit : {kUnit, kSocketUnit}) systemctl({"reset-failed", unit}, stop);
}

bool has_unit(const std::stop_token& stop) {
    return is_program("systemctl") && systemctl({"cat", kUnit}, stop).status == 0;
}

/// Docker documents that it does not do this.
void refuse_mapped_users(const docker::EngineInfo& info) {
    if (!info.has_user_namespaces || !info.uses_containerd_store) return;
    throw Error(Errc::unsupported,
                "this dockerd maps user IDs (userns-remap) and keeps its images in containerd, "
                "which Docker does not support",
                "remove userns-remap, or the feature containerd-snapshotter, from "
                "/etc/docker/daemon.json");
}

std::vector<std::string> leftovers_of(const docker::EngineInfo& info) {
    std::vector<std::string> found;
    if (!info.uses_containerd_store) return found;
    for (const char* const driver : {"overlay2", "fuse-overlayfs", "btrfs", "zfs"}) {
        const std::filesystem::path directory = info.data_root / driver;
        std::error_code problem;  // it is not there, or not visible
        const bool is_empty = std::filesystem::is_empty(directory, problem);
        if (!problem && !is_empty) found.push_back(directory.string());
    }
    return found;
}

}  // namespace

std::vector<std::string> traps_of(const docker::EngineInfo& info, const docker::DaemonFile& file,
                                  const std::vector<std::string>& leftovers) {
    std::vector<std::string> traps;
    if (file.migrates && !info.uses_containerd_store) {
        traps.push_back("features.containerd-migration in " + file.path.string() +
                        " has dockerd move its images to containerd when it starts, and their "
                        "digests change: remove it, or have dockerd use containerd now "
                        "(features.containerd-snapshotter)");
    }
    if (info.has_user_namespaces) {
        traps.push_back(
            "with userns-remap dockerd keeps the images of each mapping of users apart, "
            "these in " +
            info.data_root.string() + ": the nodes need the same mapping");
    }
    for (const std::string& directory : leftovers) {
        traps.push_back(directory +
                        " is not empty, though dockerd keeps its images in containerd: without "
                        "features.containerd-snapshotter = true dockerd returns to it; remove the "
                        "directory, or keep that setting on the nodes");
    }
    return traps;
}

StartedDocker::StartedDocker(const std::stop_token& stop) {
    forget_starts(stop);
    const CommandResult started = systemctl({"start", kUnit}, stop);
    if (started.status == 0) return;
    throw Error(Errc::failed_precondition, "docker.service does not start: " + started.output,
                "journalctl -u docker");
}

StartedDocker::~StartedDocker() {
    try {
        // Also after Ctrl-C: the machine is to be left as it was found. systemd has started the
        // socket with the service; before, nothing listened there.
        std::vector<std::string> stop{"stop", kUnit};
        if (systemctl({"is-active", "--quiet", kSocketUnit}, {}).status == 0) {
            stop.emplace_back(kSocketUnit);
        }
        const CommandResult stopped = systemctl(stop, {});
        if (stopped.status != 0) log_warning("docker.service does not stop: " + stopped.output);
        forget_starts({});
    } catch (const Error& error) {
        log_warning("docker.service does not stop: " + error.message());
    }
}

DockerHost::DockerHost(const Invocation& invocation, const Notice& notice)
    : client_(http::make_client(
          {.connect = invocation.config.connect_timeout, .stall = invocation.config.stall_timeout},
          "prebake/" PREBAKE_VERSION)),
      engine_(docker::connect(*client_, docker::socket_of(invocation.config.docker_host),
                              invocation.signals.token())),
      info_(ask(invocation, notice)) {
    docker::require_supported(info_);
    refuse_mapped_users(info_);
    const docker::DaemonFile file = docker::read_daemon_file(docker::DaemonFile().path);
    for (const std::string& trap : traps_of(info_, file, leftovers_of(info_))) notice(trap);
}

docker::EngineInfo DockerHost::ask(const Invocation& invocation, const Notice& notice) {
    try {
        return engine_->info();
    } catch (const Error& error) {
        if (error.code() != Errc::unavailable) throw;
        const std::stop_token stop = invocation.signals.token();
        if (!has_unit(stop)) {
            throw Error(
                error.code(), error.message(),
                "start dockerd, or name its socket with --docker-host; --runtime containerd "
                "writes containerd's namespace moby without asking it");
        }
        if (!invocation.config.start_docker) {
            throw Error(error.code(), error.message(),
                        "systemctl start docker, or set start = true in [docker] of prebake.toml, "
                        "to have it started for the bake");
        }
        started_.emplace(stop);
        notice("docker.service was started for this command, and is stopped after it");
        return engine_->info();
    }
}

void DockerHost::require_containerd(const std::string& address) const {
    if (!info_.uses_containerd_store || info_.containerd_address.empty()) return;
    const auto path_of = [](std::string text) {
        constexpr std::string_view kScheme = "unix://";
        if (text.starts_with(kScheme)) text.erase(0, kScheme.size());
        std::error_code problem;  // a socket that is not there is compared as it is written
        const std::filesystem::path real = std::filesystem::canonical(text, problem);
        return problem ? std::filesystem::path(text) : real;
    };
    if (path_of(address) == path_of(info_.containerd_address)) return;
    throw Error(Errc::usage,
                "dockerd keeps its images in the containerd at " + info_.containerd_address +
                    ", and this bake is for the one at " + address,
                "bake for Docker on its own, with --address " + info_.containerd_address);
}

}  // namespace prebake::cli
