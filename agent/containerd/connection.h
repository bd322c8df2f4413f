#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "agent/base/error.h"

namespace prebake::containerd {

inline constexpr const char* kDefaultAddress = "/run/containerd/containerd.sock";

using Labels = std::map<std::string, std::string>;

/// Which objects a call works on: sent as gRPC headers with every call.
struct Scope {
    std::string ns;     ///< containerd namespace
    std::string lease;  ///< protects created objects from garbage collection; empty for reads
};

/// @throws Error usage if `ns` is not a containerd namespace name
/// (^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$, at most 76 characters).
void validate_namespace(const std::string& ns);

class Channel;

/// One gRPC channel to a containerd socket, shared by the clients of this room (Content, Images,
/// ...). Thread-safe. Every call on it ends with Error cancelled when `stop` is requested. gRPC
/// codes are translated in this room only. If containerd does not answer, the error is
/// `unavailable`; each call tries to connect, so callers can survive a restart of the daemon.
class Connection {
  public:
    /// `address` is a path, or "unix://" and a path. Does not connect yet.
    Connection(const std::string& address, std::stop_token stop);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    struct Version {
        std::string version;
        std::string revision;
    };
    /// @throws Error unavailable, with the socket, the reason and the next step.
    Version version() const;

    const std::string& address() const;
    const std::stop_token& stop() const;

    const Channel& channel() const { return *channel_; }

  private:
    std::unique_ptr<Channel> channel_;
};

/// True if `error` is about containerd as a whole, not about the object of the call: containerd is
/// gone (unavailable), or a stop was requested (cancelled). Work on many objects ends with such an
/// error instead of recording it for one of them.
bool ends_session(const Error& error);

}  // namespace prebake::containerd
