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

/// What every process of the machine may read over TCP.
enum class TcpAccess {
    full,
    readiness,  ///< /readyz and /livez, nothing else
    off,        ///< nothing listens
};

struct EndpointOptions {
    std::filesystem::path socket = kDefaultSocket;  ///< empty: no socket
    std::string socket_group =
        "prebake";  ///< 0660 root:GROUP; root:root if the group does not exist
    /// Only loopback addresses; localhost means both families.
    std::vector<std::string> listen = {"localhost:9813"};
    TcpAccess tcp = TcpAccess::full;
    std::filesystem::path trace_file = {};  ///< what /v1/trace answers; empty: nothing was recorded
    /// After how long to try again where listening failed: another process may have had the port.
    std::chrono::milliseconds retry_time{5000};

    // Limits on the resources that clients can use. If all places are taken, a new connection gets
    // the place of the one that has been silent, or has not read its answer, for the longest time.
    // Clients that wait with ?wait= keep theirs.
    std::size_t max_connections = 64;  ///< on the socket, and the same number over TCP
    /// Of these, how many may wait with ?wait=. Further ones are answered at once and closed.
    std::size_t max_waiting = 16;
    /// How many of those on the socket may belong to one user, except root and the daemon's own.
    std::size_t max_waiting_of_user = 8;
    /// The last of those on the socket, which only root and the daemon's own user get.
    std::size_t waiting_for_root = 4;
    /// How many on the socket may belong to one user, except root and the daemon's own.
    std::size_t max_of_user = 16;
    /// Places on the socket, beyond these, for root and the daemon's own user, whose connections do
    /// not lose their places to those of others: `prebake status` always gets an answer.
    std::size_t reserved_for_root = 8;
    std::size_t max_header_bytes = 8192;
    std::chrono::milliseconds first_byte_time{2000};  ///< after connecting
    std::chrono::milliseconds header_time{2000};      ///< for the rest of a request's header
    std::chrono::milliseconds idle_time{5000};        ///< between two requests
    std::chrono::milliseconds write_time{10000};      ///< for the client to read a response
    std::chrono::seconds max_wait{300};               ///< the upper limit of ?wait=

    bool operator==(const EndpointOptions&) const = default;
};

/// The HTTP/1.1 server of the daemon, on its own thread ("http"). Read-only.
class Endpoint {
  public:
    /// Binds, and serves until destroyed. A listener that fails (the port is in use) is reported to
    /// `on_problem` (later also from the endpoint's thread), and the others serve; it is tried
    /// again until it listens, which is reported there, too. A stale socket file is replaced. Takes
    /// over the sockets that systemd passes (sd_listen_fds(3)), where they are for one of the
    /// addresses.
    /// @throws Error conflict if another daemon listens on the socket, or if the path is not a
    /// socket; usage for an address that is not loopback.
    Endpoint(EndpointOptions options, const StatusHolder& holder,
             std::function<void(const std::string&)> on_problem);
    /// Closes every connection and removes the socket file.
    ~Endpoint();
    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;

    /// The status has changed: answers the clients that wait, if they have what they wait for.
    /// Thread-safe.
    void status_changed();

    /// The addresses that it listens on: "127.0.0.1:9813", "/run/prebake/prebake.sock".
    /// Thread-safe.
    std::vector<std::string> addresses() const;
    /// Where it does not listen, and why; empty: it listens everywhere. Thread-safe.
    std::string problem() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace prebake::report
