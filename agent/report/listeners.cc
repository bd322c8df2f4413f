#include "agent/report/listeners.h"

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/report/socket_address.h"

namespace prebake::report {
namespace {

constexpr int kBacklog = 128;
/// For an entry of /etc/group with its members, which getgrnam_r() always returns.
constexpr std::size_t kGroupBytes = 64UL << 10;

std::string reason_of(int number) {
    return std::generic_category().message(number);
}

/// Whether the errno means that this machine does not have the address family.
bool is_family_missing(int number) {
    return number == EAFNOSUPPORT || number == EADDRNOTAVAIL || number == EPROTONOSUPPORT;
}

FileDescriptor stream_socket(int family) {
    return FileDescriptor(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

void enable(const FileDescriptor& socket, int level, int option) {
    const int on = 1;
    ::setsockopt(socket.get(), level, option, &on, sizeof on);
}

/// Creates a socket that listens on `address`; `port` becomes the real port. Returns 0 or errno.
template <typename Address>
int listen_at(FileDescriptor& socket, Address& address, in_port_t& port) {
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    socket = stream_socket(generic->sa_family);
    if (!socket) return errno;
    // Connections of a daemon that has just exited stay in TIME_WAIT.
    enable(socket, SOL_SOCKET, SO_REUSEADDR);
    if (generic->sa_family == AF_INET6) enable(socket, IPPROTO_IPV6, IPV6_V6ONLY);
    if (::bind(socket.get(), generic, size) != 0 || ::listen(socket.get(), kBacklog) != 0 ||
        ::getsockname(socket.get(), generic, &size) != 0) {
        return errno;
    }
    port = ntohs(port);
    return 0;
}

/// Returns 0 or errno. Sets the name of `listener` in any case.
int listen_tcp(const ListenAddress& wanted, Listener& listener) {
    int failure = 0;
    in_port_t port = htons(wanted.port);
    if (wanted.family == Family::v4) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = port;
        failure = listen_at(listener.fd, address, address.sin_port);
        port = address.sin_port;
    } else {
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_addr = in6addr_loopback;
        address.sin6_port = port;
        failure = listen_at(listener.fd, address, address.sin6_port);
        port = address.sin6_port;
    }
    listener.name = (wanted.family == Family::v4 ? "127.0.0.1:" : "[::1]:") +
                    std::to_string(failure == 0 ? port : wanted.port);
    return failure;
}

void throw_if_in_use(const std::filesystem::path& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) return;
        throw errno_error("cannot stat", path);
    }
    if (!S_ISSOCK(status.st_mode)) {
        throw Error(Errc::conflict, path.string() + " exists and is not a socket",
                    "move it away, or choose another report.socket");
    }
    const FileDescriptor probe = stream_socket(AF_UNIX);
    if (!probe) throw errno_error("cannot make a socket for", path);
    const auto address = unix_address(path.string());
    // Every other failure, such as a full backlog, means that another process listens.
    if (::connect(probe.get(), address->get(), address->size) != 0 && errno == ECONNREFUSED) return;
    throw Error(Errc::conflict, "another process listens on " + path.string(),
                "stop it (systemctl status prebaked), or choose another report.socket");
}

/// Takes the lock, with an error message about the socket.
FileLock lock_beside(const std::filesystem::path& path) {
    try {
        return FileLock(path.string() + ".lock");
    } catch (const Error& error) {
        if (error.code() != Errc::conflict) throw;
        throw Error(Errc::conflict, "another prebake daemon serves " + path.string(),
                    "stop it (systemctl status prebaked), or choose another report.socket");
    }
}

std::optional<gid_t> find_group(const std::string& name) {
    std::string buffer(kGroupBytes, '\0');
    group entry{};
    group* found = nullptr;
    if (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found) {
        return std::nullopt;
    }
    return entry.gr_gid;
}

void hand_to_group(const std::filesystem::path& path, const std::string& name,
                   const ReportProblem& on_problem) {
    const auto id = find_group(name);
    if (!id) {
        on_problem("there is no group " + name + ": only root can use " + path.string());
    } else if (::lchown(path.c_str(), static_cast<uid_t>(-1), *id) != 0) {
        on_problem("cannot give " + path.string() + " to the group " + name + ": " +
                   reason_of(errno));
    }
}

}  // namespace

std::vector<ListenAddress> parse_listen(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    const std::string host = text.substr(0, colon);
    const std::string digits = colon == std::string::npos ? "" : text.substr(colon + 1);
    std::uint16_t port = 0;
    const char* const end = digits.data() + digits.size();
    const auto [rest, failure] = std::from_chars(digits.data(), end, port);
    if (failure == std::errc() && rest == end) {
        if (host == "localhost") {
            return {{.family = Family::v4, .port = port, .is_optional = true},
                    {.family = Family::v6, .port = port, .is_optional = true}};
        }
        if (host == "127.0.0.1") return {{.family = Family::v4, .port = port}};
        if (host == "[::1]") return {{.family = Family::v6, .port = port}};
    }
    throw Error(Errc::usage, "cannot listen on \"" + text + "\"",
                "use localhost:PORT, 127.0.0.1:PORT or [::1]:PORT: the endpoint only serves this "
                "machine");
}

std::vector<Listener> listen_on_loopback(const std::vector<std::string>& texts,
                                         const ReportProblem& on_problem) {
    std::vector<ListenAddress> addresses;
    for (const auto& text : texts) {
        const auto more = parse_listen(text);
        addresses.insert(addresses.end(), more.begin(), more.end());
    }
    std::vector<Listener> listeners;
    for (const auto& address : addresses) {
        Listener listener;
        const int failure = listen_tcp(address, listener);
        if (failure == 0) {
            listeners.push_back(std::move(listener));
        } else if (!address.is_optional || !is_family_missing(failure)) {
            on_problem("cannot listen on " + listener.name + ": " + reason_of(failure));
        }
    }
    if (listeners.empty() && !addresses.empty())
        on_problem("nothing listens on the loopback interface");
    return listeners;
}

SocketFile::SocketFile(const std::filesystem::path& path, const std::string& group,
                       const ReportProblem& on_problem)
    : path_(path), lock_(lock_beside(path)) {
    const auto address = unix_address(path.string());
    if (!address) {
        throw Error(
            Errc::usage, "the path " + path.string() + " is too long for a socket",
            "choose a report.socket of at most " + std::to_string(kMaxSocketPath) + " bytes");
    }
    throw_if_in_use(path);
    ::unlink(path.c_str());
    listener_ = {.fd = stream_socket(AF_UNIX),
                 .socket_kind = SocketKind::unix_socket,
                 .name = path.string()};
    // On Linux the file gets the mode of the unbound socket: no other user can connect before the
    // group is set.
    if (!listener_.fd || ::fchmod(listener_.fd.get(), 0600) != 0 ||
        ::bind(listener_.fd.get(), address->get(), address->size) != 0) {
        throw errno_error("cannot listen on", path);
    }
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0) {
        device_ = status.st_dev;
        inode_ = status.st_ino;
    }
    if (!group.empty()) hand_to_group(path, group, on_problem);
    if (::chmod(path.c_str(), 0660) != 0 || ::listen(listener_.fd.get(), kBacklog) != 0) {
        throw errno_error("cannot listen on", path);
    }
}

SocketFile::~SocketFile() {
    struct stat status {};
    const bool is_ours =
        ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
    if (is_ours) ::unlink(path_.c_str());
}

}  // namespace prebake::report
