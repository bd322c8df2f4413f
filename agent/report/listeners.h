#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "agent/report/router.h"

/// The sockets on which the endpoint listens.
namespace prebake::report {

enum class Family { v4, v6 };

/// A loopback address.
struct ListenAddress {
    Family family = Family::v4;
    std::uint16_t port = 0;  ///< 0: the kernel chooses
    /// From "localhost", which means both families: one of them may be missing on this machine.
    bool is_optional = false;

    bool operator==(const ListenAddress&) const = default;
};

/// Parses "localhost:PORT" (both families, without a resolver), "127.0.0.1:PORT" or "[::1]:PORT".
/// @throws Error usage for everything else: the endpoint only serves this machine.
std::vector<ListenAddress> parse_listen(const std::string& text);

/// A listening, non-blocking socket.
struct Listener {
    FileDescriptor fd;
    SocketKind socket_kind = SocketKind::tcp;
    std::string name;  ///< "127.0.0.1:9813", with the real port
};

using ReportProblem = std::function<void(const std::string&)>;

/// Listens on all addresses; calls `on_problem` for each that fails. @throws Error usage.
std::vector<Listener> listen_on_loopback(const std::vector<std::string>& texts,
                                         const ReportProblem& on_problem);

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
