#pragma once

#include <grpcpp/support/sync_stream.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "agent/containerd/call.h"

namespace prebake::containerd {

/// A call that returns a stream of `Message`. The destructor cancels it if it has not ended.
template <typename Stub, typename Message>
class ReadStream {
  public:
    /// `what` is for error messages: "cannot <what>: …".
    template <typename Request>
    ReadStream(const Connection& connection, const Scope& scope,
               std::unique_ptr<grpc::ClientReader<Message>> (Stub::*method)(grpc::ClientContext*,
                                                                            const Request&),
               const Request& request, std::string what)
        : connection_(connection),
          what_(std::move(what)),
          call_(connection, scope, std::nullopt),
          stub_(connection.channel().grpc()),
          stream_((stub_.*method)(&call_.context(), request)) {}
    ~ReadStream() {
        if (status_) return;
        cancel();
        stream_->Finish();
    }
    ReadStream(const ReadStream&) = delete;
    ReadStream& operator=(const ReadStream&) = delete;

    /// False at the end of the stream. @throws Error if the stream fails.
    bool next(Message& message) {
        if (receive(message)) return true;
        check(*status_, connection_, what_);
        return false;
    }
    /// The same for callers that handle the status themselves; status() returns it.
    bool receive(Message& message) {
        if (status_) return false;
        if (stream_->Read(&message)) return true;
        status_ = stream_->Finish();
        return false;
    }
    /// The status of a stream that has ended.
    const grpc::Status& status() const { return *status_; }
    /// Cancels the stream. Thread-safe.
    void cancel() { call_.context().TryCancel(); }

  private:
    const Connection& connection_;
    std::string what_;
    Call call_;
    Stub stub_;
    std::unique_ptr<grpc::ClientReader<Message>> stream_;
    std::optional<grpc::Status> status_;
};

}  // namespace prebake::containerd
