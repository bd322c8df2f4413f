#include "agent/containerd/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <system_error>
#include <utility>

#include "agent/base/ascii.h"
#include "agent/base/file.h"
#include "agent/base/wait.h"

namespace prebake::containerd {
namespace {

/// containerd sends at most 16 MiB unless configured otherwise; gRPC's default of 4 MiB is too
/// small for the image list of a busy node.
constexpr int kMaxReceiveBytes = 64 << 20;
/// For the HTTP/2 handshake; it takes containerd a millisecond.
constexpr std::chrono::seconds kHandshakeTimeout{10};
/// How often to look for a stop request or a dead daemon during the handshake.
constexpr std::chrono::milliseconds kHandshakePoll{50};

std::string path_of(const std::string& address) {
    constexpr std::string_view kScheme = "unix://";
    std::string path = address.starts_with(kScheme) ? address.substr(kScheme.size()) : address;
    if (path.empty() || path.find("://") != std::string::npos) {
        throw Error(Errc::usage, "the containerd address '" + address + "' is not a unix socket",
                    "name the socket's path with --address");
    }
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
        throw Error(Errc::usage, "the containerd address '" + address + "' is longer than the " +
                                     std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                                     " bytes that a unix socket's path may have");
    }
    return path;
}

/// gRPC parses its target as a URI.
std::string target_of(const std::string& path) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    std::string target = "unix:";
    for (const char c : path) {
        if (is_alphanumeric(c) || std::string_view("/-._~").find(c) != std::string_view::npos) {
            target += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            target += '%';
            target += kHex[byte >> 4];
            target += kHex[byte & 15];
        }
    }
    return target;
}

std::shared_ptr<grpc::Channel> channel_to(const std::string& path) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    // A proxy set in the environment is for registries, not for a local socket.
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    // Callers retry: they know which calls may be repeated. gRPC would buffer every message for
    // it.
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    // A socket for each Connection: a blocked one does not block the others.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(target_of(path), grpc::InsecureChannelCredentials(),
                                     arguments);
}

}  // namespace

Channel::Channel(const std::string& address, std::stop_token stop)
    : path_(path_of(address)), stop_(std::move(stop)), grpc_(channel_to(path_)) {}

std::optional<Error> Channel::socket_problem() const {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::copy(path_.begin(), path_.end(), name.sun_path);
    // Not blocking: EAGAIN means that the backlog is full, so a daemon is there.
    const FileDescriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return errno_error("cannot open a socket to", path_);
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0)
        return {};
    const int reason = errno;
    const std::string message = "containerd does not answer on " + path_ + ": ";
    switch (reason) {
        case EAGAIN:
            return {};
        case ENOENT:
            return Error(Errc::unavailable, message + "the socket does not exist",
                         "start containerd, or name its socket with --address");
        case ECONNREFUSED:
            return Error(Errc::unavailable, message + "nobody listens on the socket",
                         "start containerd, or name its socket with --address");
        case EACCES:
        case EPERM:
            return Error(Errc::permission_denied, message + "permission denied", "run as root");
        default:
            return Error(Errc::unavailable, message + std::system_category().message(reason),
                         "start containerd, or name its socket with --address");
    }
}

void Channel::connect() const {
    throw_if_stopped(stop_);
    if (grpc_->GetState(true) == GRPC_CHANNEL_READY) return;
    grpc::experimental::ChannelResetConnectionBackoff(grpc_.get());
    const auto give_up = std::chrono::system_clock::now() + kHandshakeTimeout;
    for (;;) {
        throw_if_stopped(stop_);
        if (auto error = socket_problem()) throw *std::move(error);
        const auto now = std::chrono::system_clock::now();
        if (grpc_->WaitForConnected(now + kHandshakePoll)) return;
        if (now >= give_up) {
            throw Error(Errc::unavailable,
                        "containerd does not answer on " + path_ +
                            ": the process that listens on the socket completes no gRPC handshake",
                        "check that it is containerd's socket, and that containerd does not hang");
        }
    }
}

}  // namespace prebake::containerd
