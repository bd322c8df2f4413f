#pragma once

#include <chrono>
#include <memory>
#include <stop_token>

#include "agent/daemon/node_options.h"
#include "agent/report/status_holder.h"

namespace prebake::daemon {

/// The daemon's work, on one thread. It waits for containerd, follows its events, hands each event
/// to the ledger and to the guard, does what is due, and publishes the status. Which state it is in
/// and what it does there is the table in loop_states.h. Changes nothing of containerd except baked
/// names, labels and snapshots; never starts or configures it.
class NodeLoop {
  public:
    NodeLoop(NodeLoopOptions options, report::StatusHolder& holder);
    ~NodeLoop();
    NodeLoop(const NodeLoop&) = delete;
    NodeLoop& operator=(const NodeLoop&) = delete;

    /// Returns when `stop` is requested, with the ledger written. containerd may fail or restart at
    /// any time.
    /// @throws Error if retrying does not help: permission_denied or io on the state directory,
    /// conflict when another daemon uses it.
    void run(const std::stop_token& stop);

    /// Reads the bake record and the claim again. With `is_check_wanted` every image is checked
    /// even if the record is the same, and the order of units is checked again. Thread-safe.
    void reload(bool is_check_wanted);

    /// Reads how far hydration is, at most once a second. Thread-safe.
    void hydration_changed();

    /// When the loop last showed that it is alive; for the watchdog. Thread-safe.
    std::chrono::steady_clock::time_point last_sign_of_life() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace prebake::daemon
