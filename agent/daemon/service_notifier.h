#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace prebake::daemon {

/// Tells systemd how the service does (sd_notify(3)): datagrams to $NOTIFY_SOCKET. Without one,
/// does nothing. Never throws, never blocks: a service manager that does not listen must not harm
/// us.
class ServiceNotifier {
  public:
    /// Takes $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID out of the environment, so that no
    /// child inherits them.
    ServiceNotifier();

    void ready() const;
    void reloading() const;  ///< with MONOTONIC_USEC; ready() ends it
    void stopping() const;
    void status(std::string_view line) const;
    void watchdog() const;
    void extend_timeout(std::chrono::microseconds by) const;

    /// How often watchdog() must be called at least: half the time after which systemd would end
    /// us. Nothing if the unit has no watchdog.
    std::optional<std::chrono::microseconds> watchdog_interval() const { return watchdog_; }

  private:
    void send(const std::string& message) const;

    std::string socket_;
    std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace prebake::daemon
