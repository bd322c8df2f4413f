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

/// Whose objects a call works on: sent as gRPC headers with every call.
struct Scope {
    std::string ns;     ///< containerd namespace
    std::string lease;  ///< keeps what is created from garbage collection; empty for reads
};

/// @throws Error usage if `ns` is not a containerd namespace name
/// (^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$, at most 76 characters).
void validate_namespace(const std::string& ns);

/// One gRPC channel to a containerd socket, shared by the role clients of this room. Thread-safe.
/// Every call of a role client made on it ends with Error cancelled when `stop` is requested.
/// gRPC codes are translated here and only here; containerd not answering is `unavailable`, and the
/// next call tries to connect anew, so that callers can outlive a restart of the daemon.
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
    /// @throws Error unavailable, naming the socket and whether it exists, with the next step.
    Version version() const;

    const std::string& address() const;
    const std::stop_token& stop() const;

    class Impl;
    const Impl& impl() const { return *impl_; }

  private:
    std::unique_ptr<Impl> impl_;
};

/// True if `error` is about containerd as a whole, not about the object of the call: containerd is
/// gone (unavailable), or a stop was requested (cancelled). Work on many objects ends with such an
/// error instead of recording it for one of them.
bool ends_session(const Error& error);

}  // namespace prebake::containerd
