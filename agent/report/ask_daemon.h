#pragma once

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>

namespace prebake::report {

struct DaemonResponse {
    int status = 0;
    std::string body;
};

/// GET `target` from the daemon behind the unix socket, within `time_limit`.
/// @throws Error unavailable if nobody listens there or the daemon ends before it has answered;
/// timed_out, cancelled, permission_denied (the next step names the group), too_large (over 4 MiB),
/// corrupt, usage (a path that cannot be a socket).
DaemonResponse ask_daemon(const std::filesystem::path& socket, const std::string& target,
                          std::chrono::milliseconds time_limit, const std::stop_token& stop = {});

/// The same on a loopback address of report.listen ("localhost:9813"), for users who may not use
/// the socket. Who listens there is not known: trust it no more than the port.
DaemonResponse ask_daemon_on_port(const std::string& address, const std::string& target,
                                  std::chrono::milliseconds time_limit,
                                  const std::stop_token& stop = {});

}  // namespace prebake::report
