#include "agent/containerd/call.h"

#include <string>

#include "agent/base/error.h"
#include "proto/containerd/version.grpc.pb.h"

namespace prebake::containerd {
namespace {

// containerd reports errors of the file system as UNKNOWN with Go's text of the errno. Only the
// text distinguishes a full disk from a broken layer: the one exception to "match on codes, never
// on text". These are the texts of ENOSPC and EDQUOT in Go's syscall package.
bool is_disk_full(const grpc::Status& status) {
    const std::string& text = status.error_message();
    return text.find("no space left on device") != std::string::npos ||
           text.find("disk quota exceeded") != std::string::npos;
}

}  // namespace

Errc errc_of(const grpc::Status& status, bool is_stopped) {
    switch (status.error_code()) {
        // If we did not cancel the call, the daemon is shutting down.
        case grpc::StatusCode::CANCELLED:
            return is_stopped ? Errc::cancelled : Errc::unavailable;
        case grpc::StatusCode::UNKNOWN:
        case grpc::StatusCode::INTERNAL:
            return is_disk_full(status) ? Errc::no_space : Errc::io;
        case grpc::StatusCode::DEADLINE_EXCEEDED:
            return Errc::timed_out;
        case grpc::StatusCode::NOT_FOUND:
            return Errc::not_found;
        case grpc::StatusCode::ALREADY_EXISTS:
        case grpc::StatusCode::ABORTED:
        // The position in an ingest is not the expected one: another client wrote to it.
        case grpc::StatusCode::OUT_OF_RANGE:
            return Errc::conflict;
        case grpc::StatusCode::PERMISSION_DENIED:
            return Errc::permission_denied;
        case grpc::StatusCode::UNAUTHENTICATED:
            return Errc::unauthenticated;
        case grpc::StatusCode::RESOURCE_EXHAUSTED:
            return Errc::too_large;
        case grpc::StatusCode::FAILED_PRECONDITION:
            return Errc::failed_precondition;
        case grpc::StatusCode::UNIMPLEMENTED:
            return Errc::unsupported;
        case grpc::StatusCode::UNAVAILABLE:
            return Errc::unavailable;
        case grpc::StatusCode::DATA_LOSS:
            return Errc::corrupt;
        case grpc::StatusCode::OK:
        case grpc::StatusCode::INVALID_ARGUMENT:
        case grpc::StatusCode::DO_NOT_USE:
            return Errc::internal;
    }
    return Errc::internal;
}

Call::Call(const Connection& connection, const Scope& scope,
           std::optional<std::chrono::milliseconds> timeout)
    : cancel_on_stop_(connection.stop(), Cancel{&context_}) {
    connection.channel().connect();
    if (!scope.ns.empty()) context_.AddMetadata("containerd-namespace", scope.ns);
    if (!scope.lease.empty()) context_.AddMetadata("containerd-lease", scope.lease);
    if (timeout) context_.set_deadline(std::chrono::system_clock::now() + *timeout);
}

Error error_of(const grpc::Status& status, const Connection& connection, std::string_view what) {
    const std::string context = "cannot " + std::string(what);
    const Errc code = errc_of(status, connection.stop().stop_requested());
    if (code == Errc::cancelled) return Error(code, context + ": interrupted");
    if (code == Errc::timed_out) {
        return Error(code, context + ": containerd did not answer in time",
                     "check whether containerd or its disk is overloaded");
    }
    if (code == Errc::unavailable || code == Errc::io) {
        // A daemon that dies during a call leads to either code.
        if (const auto problem = connection.channel().socket_problem())
            return problem->within(context);
    }
    if (code == Errc::no_space) {
        return Error(code, context + ": " + status.error_message(),
                     "free disk space for containerd");
    }
    return Error(code, context + ": " + status.error_message());
}

// Defined here because it is a call: connection.cc does not know calls.
Connection::Version Connection::version() const {
    namespace api = ::containerd::services::version::v1;
    api::VersionResponse response;
    check(invoke(*this, Scope{}, &api::Version::Stub::Version, google::protobuf::Empty(), response,
                 kReadTimeout),
          *this, "ask containerd for its version");
    return Version{.version = response.version(), .revision = response.revision()};
}

}  // namespace prebake::containerd
