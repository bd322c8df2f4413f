#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/containerd/channel.h"
#include "agent/containerd/connection.h"

namespace prebake::containerd {

/// For calls that read.
inline constexpr std::chrono::seconds kReadTimeout{60};
/// For calls that change metadata: they wait for containerd's write lock, which 1.x holds while it
/// fsyncs a whole layer, and every version while it measures a snapshot during its commit.
inline constexpr std::chrono::minutes kWriteTimeout{10};

/// The context of one call: sets the scope's headers, and cancels the call when a stop is
/// requested.
class Call {
  public:
    /// Connects first. Without `timeout` only a stop request ends the call early.
    /// @throws Error as Channel::connect().
    Call(const Connection& connection, const Scope& scope,
         std::optional<std::chrono::milliseconds> timeout);

    grpc::ClientContext& context() { return context_; }

  private:
    struct Cancel {
        grpc::ClientContext* context;
        void operator()() const { context->TryCancel(); }
    };

    grpc::ClientContext context_;
    // Destroyed before the context; its destructor waits for a running cancellation.
    std::stop_callback<Cancel> cancel_on_stop_;
};

/// One unary call. Returns the status, because some codes are expected outcomes for some callers;
/// check() turns the others into errors.
template <typename Stub, typename Request, typename Response>
grpc::Status invoke(const Connection& connection, const Scope& scope,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response,
                    std::optional<std::chrono::milliseconds> timeout) {
    Call call(connection, scope, timeout);
    Stub stub(connection.channel().grpc());
    return (stub.*method)(&call.context(), request, &response);
}

/// The code for a status that is not OK. `is_stopped`: a stop was requested on the connection.
Errc errc_of(const grpc::Status& status, bool is_stopped);

/// The only translation of gRPC statuses: "cannot <what>: <containerd's message>".
Error error_of(const grpc::Status& status, const Connection& connection, std::string_view what);

/// @throws Error error_of(), unless `status` is OK.
inline void check(const grpc::Status& status, const Connection& connection, std::string_view what) {
    if (!status.ok()) throw error_of(status, connection, what);
}

}  // namespace prebake::containerd
