#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/report/status_holder.h"

namespace prebake::report {

inline constexpr const char* kDefaultSocket = "/run/prebake/prebake.sock";

struct EndpointOptions {
    std::filesystem::path socket = kDefaultSocket;  ///< empty: none
    std::string socket_group = "prebake";  ///< 0660 root:GROUP; root's if there is no such group
    std::vector<std::string> listen = {
        "localhost:9813"};  ///< loopback addresses only; both families

    // Bounds on what a client can make us hold.
    std::size_t max_connections = 64;  ///< on the socket, and so many more over TCP
    /// Of these, so many with ?wait=. Further ones are answered at once, and their places are free.
    std::size_t max_waiting = 16;
    std::size_t max_header_bytes = 8192;
    /// For a whole request to arrive; for the next one to begin.
    std::chrono::milliseconds header_time{5000};
    std::chrono::milliseconds write_time{10000};  ///< for a response to be taken
    std::chrono::seconds max_wait{300};           ///< of ?wait=

    bool operator==(const EndpointOptions&) const = default;
};

/// The HTTP/1.1 server of the daemon, on a thread of its own ("http"). Read-only.
class Endpoint {
  public:
    /// Binds and serves until destroyed. A listener that cannot be had (the port is taken) is told
    /// to `on_problem` (later also on the endpoint's thread), and the others serve. A socket file
    /// that nobody listens on is replaced.
    /// @throws Error conflict if another daemon answers on the socket, or the path is something
    /// else than a socket; usage for an address that is not loopback.
    Endpoint(EndpointOptions options, const StatusHolder& holder,
             std::function<void(const std::string&)> on_problem);
    /// Closes every connection and removes the socket file.
    ~Endpoint();
    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;

    /// The holder has a new view: those who wait for readiness look again. Thread-safe.
    void status_changed();

    /// What it listens on: "127.0.0.1:9813", "/run/prebake/prebake.sock".
    std::vector<std::string> addresses() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace prebake::report
