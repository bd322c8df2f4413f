#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/guard/activity_log.h"
#include "agent/guard/cri_settings.h"
#include "agent/guard/pin_budget.h"
#include "agent/report/conditions.h"
#include "agent/report/status_holder.h"

namespace prebake::daemon {

struct NodeLoopOptions {
    std::string address;  ///< containerd's socket
    std::filesystem::path state_dir = "/var/lib/prebake";
    std::vector<std::string> gates;  ///< condition types that gate readiness
    guard::PinLimits pin_limits;
    std::string snapshotter;  ///< empty: the one that CRI really uses
    std::string prebake_version;
    std::function<report::IdentityFacts()> identity;
    std::function<containerd::ConfiguredRuntime()> configured_runtime;
    /// For the log: each thing once.
    std::function<void(guard::Severity, const std::string&)> note;
};

/// The node's use case, run by the daemon: waits for containerd, follows its events, keeps what
/// was baked usable, keeps the ledger, and publishes what it knows. Changes nothing
/// of containerd but baked names, labels and snapshots; never starts or configures it.
class NodeLoop {
  public:
    NodeLoop(NodeLoopOptions options, report::StatusHolder& holder);
    ~NodeLoop();
    NodeLoop(const NodeLoop&) = delete;
    NodeLoop& operator=(const NodeLoop&) = delete;

    /// Returns when `stop` is requested, with the ledger written. Survives whatever containerd
    /// does.
    /// @throws Error only for what does not pass: permission_denied or io on the state
    /// directory, conflict when another daemon uses it.
    void run(const std::stop_token& stop);

    /// The bake record or the claim may have changed. With `is_check_wanted` every image is checked
    /// even if the record has not. Thread-safe.
    void reload(bool is_check_wanted);

    /// When the keeper last showed that it goes on; for the watchdog. Thread-safe.
    std::chrono::steady_clock::time_point last_sign_of_life() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace prebake::daemon
