#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/daemon/file_watch.h"
#include "agent/daemon/node_loop.h"
#include "agent/daemon/publication.h"
#include "agent/daemon/service_notifier.h"
#include "agent/daemon/waker.h"
#include "agent/report/endpoint.h"
#include "agent/report/status_holder.h"

namespace prebake::daemon {

struct ServiceOptions {
    NodeLoopOptions loop;
    report::EndpointOptions endpoint;
    bool ssm_inventory = true;
};

/// The whole daemon. Its main thread runs run(): it serves the endpoint, publishes what the
/// NodeLoop finds, watches the record, the claim and hydration for changes, and answers to systemd.
/// The NodeLoop runs on a thread of its own.
class Service {
  public:
    /// @throws Error permission_denied, io: the state directory cannot be watched.
    explicit Service(ServiceOptions options);
    ~Service() = default;
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    /// Returns when `stop` is requested, with the ledger written.
    /// @throws Error as report::Endpoint and NodeLoop::run().
    void run(const std::stop_token& stop);

    /// Reads the bake record and the claim again, and checks all images. Thread-safe.
    void reload();

  private:
    /// With what the loop asks the endpoint, which exists while the loop runs.
    ServiceOptions with_endpoint(ServiceOptions options);
    void run_loop(const std::stop_token& stop);
    void handle_wakeup();
    void feed_watchdog(std::chrono::steady_clock::time_point now);
    void wait() const;
    void log(guard::Severity severity, const std::string& text) const;
    std::function<void(const std::string&)> warning_log() const;

    const ServiceOptions options_;
    const ServiceNotifier notifier_;
    const Waker waker_;
    FileWatch files_;
    FileWatch plan_;  ///< of hydration
    FileWatch progress_;
    report::StatusHolder holder_;
    Publication publication_;
    NodeLoop loop_;
    std::optional<report::Endpoint> endpoint_;
    std::atomic<bool> is_reload_requested_ = false;
    std::atomic<bool> has_loop_ended_ = false;
    std::exception_ptr failure_;  ///< what ended the loop
    bool is_ready_sent_ = false;  ///< READY=1, to systemd
};

}  // namespace prebake::daemon
