#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/base/error.h"

namespace prebake::containerd {

/// The gRPC channel of a Connection to a unix socket. Thread-safe.
class Channel {
  public:
    /// @throws Error usage for an address that is not a unix socket.
    Channel(const std::string& address, std::stop_token stop);

    /// Returns when the channel is connected, also after a restart of the daemon. Without this,
    /// gRPC would fail calls during its backoff without an attempt, and without a reason.
    /// @throws Error as socket_problem(); unavailable if the listening process does not speak gRPC;
    /// cancelled.
    void connect() const;
    /// Why the socket does not work; nothing if a process listens on it.
    std::optional<Error> socket_problem() const;

    const std::string& path() const { return path_; }
    const std::stop_token& stop() const { return stop_; }
    const std::shared_ptr<grpc::Channel>& grpc() const { return grpc_; }

  private:
    std::string path_;
    std::stop_token stop_;
    std::shared_ptr<grpc::Channel> grpc_;
};

}  // namespace prebake::containerd
