#include "agent/containerd/connection.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/wait.h"
#include "agent/containerd/call.h"
#include "proto/containerd/version.grpc.pb.h"

namespace prebake::containerd {
namespace {

constexpr std::size_t kMaxNamespaceLength = 76;
/// containerd sends at most 16 MiB unless configured otherwise; gRPC's default of 4 MiB is too
/// small for the image list of a busy node.
constexpr int kMaxReceiveBytes = 64 << 20;
/// For the HTTP/2 handshake with whoever listens; it takes containerd a millisecond.
constexpr std::chrono::seconds kHandshakePatience{10};
/// How soon a stop request or a dying daemon is noticed during the handshake.
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

bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
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
    // A proxy of the environment is for registries, not for a local socket.
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    // Retrying is up to the callers, who know what may be repeated; gRPC would buffer every message
    // for it.
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    // A socket of its own for each Connection: what one of them clogs does not hold up another.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(target_of(path), grpc::InsecureChannelCredentials(),
                                     arguments);
}

}  // namespace

void validate_namespace(const std::string& ns) {
    // Runs of letters and digits with exactly one of ._- between two runs.
    bool wants_alphanumeric = true;
    bool valid = ns.size() <= kMaxNamespaceLength;
    for (const char c : ns) {
        if (is_alphanumeric(c)) {
            wants_alphanumeric = false;
        } else {
            valid = valid && !wants_alphanumeric && (c == '.' || c == '_' || c == '-');
            wants_alphanumeric = true;
        }
    }
    if (valid && !wants_alphanumeric) return;
    throw Error(Errc::usage,
                "'" + ns.substr(0, kMaxNamespaceLength + 1) + "' is not a containerd namespace",
                "use at most 76 letters and digits, with single '.', '_' or '-' between them");
}

Connection::Impl::Impl(const std::string& address, std::stop_token stop)
    : path_(path_of(address)), stop_(std::move(stop)), channel_(channel_to(path_)) {}

std::optional<Error> Connection::Impl::refusal() const {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::copy(path_.begin(), path_.end(), name.sun_path);
    // Not blocking: a daemon whose backlog is full (EAGAIN) is there all the same.
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

void Connection::Impl::connect() const {
    throw_if_stopped(stop_);
    if (channel_->GetState(true) == GRPC_CHANNEL_READY) return;
    grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
    const auto give_up = std::chrono::system_clock::now() + kHandshakePatience;
    for (;;) {
        throw_if_stopped(stop_);
        if (auto error = refusal()) throw *std::move(error);
        const auto now = std::chrono::system_clock::now();
        if (channel_->WaitForConnected(now + kHandshakePoll)) return;
        if (now >= give_up) {
            throw Error(Errc::unavailable,
                        "containerd does not answer on " + path_ +
                            ": whoever listens on the socket completes no gRPC handshake",
                        "see whether it is containerd's socket and whether containerd hangs");
        }
    }
}

Connection::Connection(const std::string& address, std::stop_token stop)
    : impl_(std::make_unique<Impl>(address, std::move(stop))) {}

Connection::~Connection() = default;

const std::string& Connection::address() const {
    return impl_->path();
}
const std::stop_token& Connection::stop() const {
    return impl_->stop();
}

bool ends_session(const Error& error) {
    return error.code() == Errc::unavailable || error.code() == Errc::cancelled;
}

Connection::Version Connection::version() const {
    namespace api = ::containerd::services::version::v1;
    api::VersionResponse response;
    check(invoke(*this, Scope{}, &api::Version::Stub::Version, google::protobuf::Empty(), response,
                 kReadPatience),
          *this, "ask containerd for its version");
    return Version{.version = response.version(), .revision = response.revision()};
}

}  // namespace prebake::containerd
