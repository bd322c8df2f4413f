#include "agent/containerd/call.h"

#include <string>

#include "agent/base/error.h"

namespace prebake::containerd {
namespace {

// containerd reports what the file system said as UNKNOWN with Go's text of the errno. That the
// disk is full must be told from a broken layer, and nothing but the text does: the one exception
// to "match on codes, never on text". These are the texts of ENOSPC and EDQUOT in Go's syscall
// package.
bool tells_of_full_disk(const grpc::Status& status) {
    const std::string& text = status.error_message();
    return text.find("no space left on device") != std::string::npos ||
           text.find("disk quota exceeded") != std::string::npos;
}

Errc errc_of(const grpc::Status& status, const std::stop_token& stop) {
    switch (status.error_code()) {
        // A cancellation that nobody asked for is the daemon shutting down.
        case grpc::StatusCode::CANCELLED:
            return stop.stop_requested() ? Errc::cancelled : Errc::unavailable;
        case grpc::StatusCode::UNKNOWN:
        case grpc::StatusCode::INTERNAL:
            return tells_of_full_disk(status) ? Errc::no_space : Errc::io;
        case grpc::StatusCode::DEADLINE_EXCEEDED:
            return Errc::timed_out;
        case grpc::StatusCode::NOT_FOUND:
            return Errc::not_found;
        case grpc::StatusCode::ALREADY_EXISTS:
        case grpc::StatusCode::ABORTED:
        // The position in an ingest is not what we know: someone else wrote to it.
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

}  // namespace

Call::Call(const Connection& connection, const Scope& scope,
           std::optional<std::chrono::milliseconds> patience)
    : cancel_on_stop_(connection.stop(), Cancel{&context_}) {
    connection.impl().connect();
    if (!scope.ns.empty()) context_.AddMetadata("containerd-namespace", scope.ns);
    if (!scope.lease.empty()) context_.AddMetadata("containerd-lease", scope.lease);
    if (patience) context_.set_deadline(std::chrono::system_clock::now() + *patience);
}

Error error_of(const grpc::Status& status, const Connection& connection, std::string_view what) {
    const std::string context = "cannot " + std::string(what);
    const Errc code = errc_of(status, connection.stop());
    if (code == Errc::cancelled) return Error(code, context + ": interrupted");
    if (code == Errc::timed_out) {
        return Error(code, context + ": containerd gave no answer in time",
                     "see whether containerd or its disk is overloaded");
    }
    if (code == Errc::unavailable || code == Errc::io) {
        // A daemon that dies in the middle of a call shows up under either code.
        if (const auto refusal = connection.impl().refusal()) return refusal->within(context);
    }
    if (code == Errc::no_space) {
        return Error(code, context + ": " + status.error_message(),
                     "free disk space for containerd");
    }
    return Error(code, context + ": " + status.error_message());
}

}  // namespace prebake::containerd
