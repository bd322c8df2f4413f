#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace prebake::daemon {

/// Reports the state of the service to systemd (sd_notify(3)): datagrams to $NOTIFY_SOCKET. Does
/// nothing without that variable. Never throws and never blocks, also if systemd does not listen.
class ServiceNotifier {
  public:
    /// Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID and removes them from the
    /// environment, so that no child inherits them.
    ServiceNotifier();

    void ready() const;
    void reloading() const;  ///< with MONOTONIC_USEC; ready() ends it
    void stopping() const;
    void status(std::string_view line) const;
    void watchdog() const;
    void extend_timeout(std::chrono::microseconds by) const;

    /// The longest time between two calls of watchdog(): half the time after which systemd kills
    /// the service. Nothing if the unit has no watchdog.
    std::optional<std::chrono::microseconds> watchdog_interval() const { return watchdog_; }

  private:
    void send(const std::string& message) const;

    std::string socket_;
    std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace prebake::daemon
