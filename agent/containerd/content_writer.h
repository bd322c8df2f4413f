#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <string>

#include "agent/containerd/call.h"
#include "agent/containerd/content.h"
#include "proto/containerd/content.grpc.pb.h"

namespace prebake::containerd {

/// How much is sent in one message: what containerd's own clients use, far below its limit of 16
/// MiB.
inline constexpr std::size_t kWriteMessageBytes = 1 << 20;

/// Decides how long to wait for another client that writes the same ingest: as long as it gets on.
class LockPatience {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds kLimit{60};

    explicit LockPatience(Clock::time_point now) : since_(now) {}
    /// `offset` is what the ingest holds now. False when it has not changed for kLimit.
    bool goes_on(Clock::time_point now, std::int64_t offset);

  private:
    Clock::time_point since_;
    std::int64_t offset_ = 0;
};

/// One Content.Write stream. Its end by half-close or cancellation leaves the ingest in place.
class WriteStream {
  public:
    WriteStream(const Connection& connection, const Scope& scope);
    /// Half-closes: when this returns, containerd has released the ingest. A stop request cuts it
    /// short.
    ~WriteStream();
    WriteStream(const WriteStream&) = delete;
    WriteStream& operator=(const WriteStream&) = delete;

    /// False when the stream has ended: finish() says how.
    bool send(const ::containerd::services::content::v1::WriteContentRequest& request);
    bool receive(::containerd::services::content::v1::WriteContentResponse& response);
    /// Half-closes, discards the answers still to come (containerd repeats its last one) and
    /// returns how the call ended. Again: the same.
    grpc::Status finish();

  private:
    Call call_;
    ::containerd::services::content::v1::Content::Stub stub_;
    // Destroyed before the call, as gRPC wants it.
    std::unique_ptr<
        grpc::ClientReaderWriter<::containerd::services::content::v1::WriteContentRequest,
                                 ::containerd::services::content::v1::WriteContentResponse>>
        stream_;
    std::optional<grpc::Status> status_;
};

/// A stream after its first answer, or how it ended instead.
struct OpenedStream {
    std::unique_ptr<WriteStream> stream;  ///< null: see `status`
    ::containerd::services::content::v1::WriteContentResponse answer;
    grpc::Status status;
};

/// Sends `first`, which opens the ingest, and waits while another client holds it.
/// @throws Error conflict when that client stands still for LockPatience::kLimit; unavailable;
/// cancelled.
OpenedStream open_stream(const Connection& connection, const Scope& scope,
                         const ::containerd::services::content::v1::WriteContentRequest& first);

/// What is written, and where: for the requests and for error messages.
struct IngestTarget {
    const Connection& connection;
    Scope scope;
    std::string ref;
    oci::Digest digest;
    std::uint64_t size;

    std::string what() const { return "store the blob " + digest.str(); }
};

/// Judges the end of a stream that was to commit: the blob is there with `labels`, or an Error.
/// Bytes that containerd refuses are aborted, lest the next writer of the reference resume from
/// them.
void settle_commit(const IngestTarget& target, const grpc::Status& status, const Labels& labels);

/// The BlobWriter that streams through Content.Write.
class StreamWriter final : public BlobWriter {
  public:
    StreamWriter(IngestTarget target, std::unique_ptr<WriteStream> stream, std::uint64_t offset);

    std::uint64_t offset() const override { return position_; }
    void write(std::span<const std::byte> bytes) override;
    void commit(const Labels& labels) override;

  private:
    void receive_answer();
    [[noreturn]] void throw_broken();

    IngestTarget target_;
    std::unique_ptr<WriteStream> stream_;
    std::uint64_t position_;
    // The positions that answers still under way must report.
    std::queue<std::uint64_t> unanswered_;
    ::containerd::services::content::v1::WriteContentRequest request_;
};

}  // namespace prebake::containerd
