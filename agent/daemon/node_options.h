#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/containerd/config_file.h"
#include "agent/docker/engine.h"
#include "agent/guard/activity_log.h"
#include "agent/guard/pin_budget.h"
#include "agent/report/conditions.h"

namespace prebake::daemon {

struct NodeLoopOptions {
    std::string address;  ///< containerd's socket
    /// dockerd's, as docker::socket_of() takes it. Asked only if images were baked for dockerd.
    std::string docker_host = "/var/run/docker.sock";
    std::filesystem::path state_dir = "/var/lib/prebake";
    std::filesystem::path runtime_dir = "/run/prebake";  ///< where hydration shows its progress
    std::vector<std::string> gates;                      ///< condition types that gate readiness
    guard::PinLimits pin_limits;
    std::string snapshotter;  ///< empty: the one that CRI really uses
    /// Whether a lease keeps the content of baked images whose names are deleted.
    bool keeps_deleted = true;
    bool wants_sandbox = true;  ///< as in guard::GuardOptions
    std::string prebake_version;
    std::function<report::IdentityFacts()> identity;
    std::function<containerd::ConfiguredRuntime()> configured_runtime;
    /// As in report::NodeFacts; may be empty. `needs_docker`: images were baked for dockerd.
    std::function<report::OrderProblems(bool needs_docker)> order_problems;
    std::function<std::string()> endpoint_problem = {};  ///< as in report::NodeFacts; may be empty
    /// Writes one line to the log.
    std::function<void(guard::Severity, const std::string&)> note;
    /// Instead of docker_host, for tests.
    std::function<std::unique_ptr<docker::Engine>(const std::stop_token&)> connect_docker = {};
    TimeSource clock = current_moment;
};

}  // namespace prebake::daemon
