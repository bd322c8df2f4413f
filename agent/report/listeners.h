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
    /// From "localhost", which means both families: it is no problem if this machine has one only.
    bool is_optional = false;

    bool operator==(const ListenAddress&) const = default;
};

/// Of "localhost:PORT" (both families; no resolver is asked), "127.0.0.1:PORT" or "[::1]:PORT".
/// @throws Error usage for everything else: what is served is for this machine only.
std::vector<ListenAddress> parse_listen(const std::string& text);

/// Listening, and not blocking.
struct Listener {
    FileDescriptor fd;
    Transport transport = Transport::tcp;
    std::string name;  ///< "127.0.0.1:9813", with the real port
};

using TellProblem = std::function<void(const std::string&)>;

/// All of them that can be had; of the others `tell` learns why not. @throws Error usage.
std::vector<Listener> listen_on_loopback(const std::vector<std::string>& texts,
                                         const TellProblem& tell);

/// A socket file, with its parent directories; 0660, of `group` if there is one. One that nobody
/// listens on is replaced. Two processes cannot do this at the same time, or one after the other:
/// a lock beside the socket is held. Removes the file in the end, if it is still the same.
class SocketFile {
  public:
    /// @throws Error conflict if somebody answers there, or `path` is something else than a socket
    /// (which stays as it is); usage if it is too long for a socket; permission_denied, io.
    SocketFile(const std::filesystem::path& path, const std::string& group,
               const TellProblem& tell);
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
