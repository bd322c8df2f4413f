#include "agent/report/listeners.h"

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/report/port_owner.h"
#include "agent/report/socket_address.h"

namespace prebake::report {
namespace {

constexpr int kBacklog = 128;
/// More sockets than this are no mistake that we can help with.
constexpr long kMaxPassed = 64;
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

/// Returns 0 or errno.
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
    listener.name = to_string(ListenAddress{.family = wanted.family, .port = port});
    return failure;
}

/// Of a TCP socket that listens on loopback; else empty.
std::string name_of_socket(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
    if (address.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        if (v4.sin_addr.s_addr != htonl(INADDR_LOOPBACK)) return {};
        return to_string(ListenAddress{.family = Family::v4, .port = ntohs(v4.sin_port)});
    }
    if (address.ss_family != AF_INET6) return {};
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (!IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) return {};
    return to_string(ListenAddress{.family = Family::v6, .port = ntohs(v6.sin6_port)});
}

std::string problem_of(const ListenAddress& address, int failure) {
    const auto user = failure == EADDRINUSE ? owner_of_port(address) : std::nullopt;
    return "cannot listen on " + to_string(address) + ": " +
           (user ? "a process of user " + std::to_string(*user) + " has the port"
                 : reason_of(failure));
}

void listen_at(const ListenAddress& address, Listeners& listeners) {
    Listener listener;
    const int failure = listen_tcp(address, listener);
    if (failure == 0) {
        listeners.open.push_back(std::move(listener));
    } else if (!address.is_optional || !is_family_missing(failure)) {
        listeners.failed.push_back({.address = address, .problem = problem_of(address, failure)});
    }
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

Listeners listen_on_loopback(const std::vector<std::string>& texts, std::vector<Listener> passed) {
    Listeners listeners;
    for (const std::string& text : texts) {
        for (const ListenAddress& address : parse_listen(text)) {
            const auto found = std::ranges::find(passed, to_string(address), &Listener::name);
            if (found == passed.end()) {
                listen_at(address, listeners);
            } else {
                listeners.open.push_back(std::move(*found));
                passed.erase(found);
            }
        }
    }
    for (const Listener& other : passed) {
        listeners.unwanted.push_back("systemd listens on " + other.name +
                                     ", and report.listen or report.tcp do not want it: "
                                     "systemctl disable --now prebaked.socket");
    }
    return listeners;
}

std::vector<std::string> Listeners::problems() const {
    std::vector<std::string> all = unwanted;
    for (const FailedListener& each : failed) all.push_back(each.problem);
    return all;
}

void listen_again(Listeners& listeners) {
    for (const FailedListener& failed : std::exchange(listeners.failed, {})) {
        listen_at(failed.address, listeners);
    }
}

std::vector<Listener> passed_listeners() {
    constexpr int kFirst = 3;
    const auto number_in = [](const char* name) {
        const char* const text = std::getenv(name);
        return text == nullptr ? 0L : std::strtol(text, nullptr, 10);
    };
    const long count = number_in("LISTEN_PID") == ::getpid() ? number_in("LISTEN_FDS") : 0;
    for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
    std::vector<Listener> listeners;
    for (int fd = kFirst; fd < kFirst + std::min(count, kMaxPassed); ++fd) {
        Listener listener{.fd = FileDescriptor(fd), .name = name_of_socket(fd)};
        if (listener.name.empty()) continue;
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
        ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
        listeners.push_back(std::move(listener));
    }
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
