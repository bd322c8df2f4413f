#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "agent/report/listen_address.h"
#include "agent/report/router.h"

/// The sockets on which the endpoint listens.
namespace prebake::report {

/// A listening, non-blocking socket.
struct Listener {
    FileDescriptor fd;
    SocketKind socket_kind = SocketKind::tcp;
    std::string name;  ///< "127.0.0.1:9813", with the real port
};

using ReportProblem = std::function<void(const std::string&)>;

/// An address on which listening failed.
struct FailedListener {
    ListenAddress address;
    std::string problem;  ///< "cannot listen on 127.0.0.1:9813: user 1000 has the port"
};

struct Listeners {
    std::vector<Listener> open;
    std::vector<FailedListener> failed;
    /// Of sockets that systemd passed: nothing is to listen there. systemd keeps them open, so
    /// clients that connect get no answer.
    std::vector<std::string> unwanted;

    /// All of it, for people.
    std::vector<std::string> problems() const;
};

/// Listens on all addresses. Takes those of `passed` that listen on one of them. @throws Error
/// usage.
Listeners listen_on_loopback(const std::vector<std::string>& texts, std::vector<Listener> passed);
/// Tries again those of `failed`; moves the listeners that succeed to `open`.
void listen_again(Listeners& listeners);

/// The TCP sockets on loopback that systemd passed to this process (sd_listen_fds(3)); others are
/// closed. Clears the environment variables of the protocol.
std::vector<Listener> passed_listeners();

/// A socket file with mode 0660, owned by `group` if it exists; parent directories are created. A
/// stale socket is replaced. A lock next to the socket prevents a second process from replacing it.
/// The destructor removes the file if it is still the same.
class SocketFile {
  public:
    /// @throws Error conflict if another process listens there, or if `path` exists and is not a
    /// socket (it is not changed); usage if it is too long for a socket; permission_denied, io.
    SocketFile(const std::filesystem::path& path, const std::string& group,
               const ReportProblem& on_problem);
    ~SocketFile();
    SocketFile(const SocketFile&) = delete;
    SocketFile& operator=(const SocketFile&) = delete;

    Listener take_listener() { return std::move(listener_); }

  private:
    const std::filesystem::path path_;
    const FileLock lock_;
    Listener listener_;
    std::uint64_t device_ = 0;
    std::uint64_t inode_ = 0;
};

}  // namespace prebake::report
