#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/containerd/connection.h"

namespace prebake::containerd {

class Connection::Impl {
  public:
    Impl(const std::string& address, std::stop_token stop);

    /// Returns once the channel can carry a call, also after a restart of the daemon: gRPC alone
    /// would fail calls without a try until its backoff is over, and would not say why.
    /// @throws Error as refusal(); unavailable if whoever listens speaks no gRPC; cancelled.
    void connect() const;
    /// Why nobody answers on the socket; nothing if somebody listens there.
    std::optional<Error> refusal() const;

    const std::string& path() const { return path_; }
    const std::stop_token& stop() const { return stop_; }
    const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  private:
    std::string path_;
    std::stop_token stop_;
    std::shared_ptr<grpc::Channel> channel_;
};

/// For calls that read.
inline constexpr std::chrono::seconds kReadPatience{60};
/// For calls that change metadata: they queue for the one write lock of containerd, which 1.x holds
/// while it fsyncs a whole layer, and every version while it measures a snapshot that is being
/// committed.
inline constexpr std::chrono::minutes kWritePatience{10};

/// The context of one call: carries the scope's headers and cancels the call when a stop is
/// requested.
class Call {
  public:
    /// Connects first. Without `patience` only a stop ends the call early.
    /// @throws Error as Connection::Impl::connect().
    Call(const Connection& connection, const Scope& scope,
         std::optional<std::chrono::milliseconds> patience);

    grpc::ClientContext& context() { return context_; }

  private:
    struct Cancel {
        grpc::ClientContext* context;
        void operator()() const { context->TryCancel(); }
    };

    grpc::ClientContext context_;
    // Destroyed before the context; its destructor waits for a cancellation that is just running.
    std::stop_callback<Cancel> cancel_on_stop_;
};

/// One unary call, for callers to whom some codes are expected outcomes; check() turns the rest
/// into errors.
template <typename Stub, typename Request, typename Response>
grpc::Status invoke(const Connection& connection, const Scope& scope,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response,
                    std::optional<std::chrono::milliseconds> patience) {
    Call call(connection, scope, patience);
    Stub stub(connection.impl().channel());
    return (stub.*method)(&call.context(), request, &response);
}

/// The only translation of gRPC codes: "cannot <what>: <containerd's words>".
Error error_of(const grpc::Status& status, const Connection& connection, std::string_view what);

/// @throws Error error_of(), unless `status` is OK.
inline void check(const grpc::Status& status, const Connection& connection, std::string_view what) {
    if (!status.ok()) throw error_of(status, connection, what);
}

}  // namespace prebake::containerd
