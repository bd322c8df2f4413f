#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <string>

#include "agent/containerd/blob_writer.h"
#include "agent/containerd/call.h"
#include "agent/oci/digest.h"
#include "proto/containerd/content.grpc.pb.h"

namespace prebake::containerd {

/// Data per message: as containerd's own clients send it, far below the limit of 16 MiB.
inline constexpr std::size_t kWriteMessageBytes = 1 << 20;

/// How long to wait for another client that writes the same ingest: as long as it makes progress.
class LockWait {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds kLimit{60};

    explicit LockWait(Clock::time_point now) : since_(now) {}
    /// `offset` is the size of the ingest now. False when it has not changed for `limit`.
    bool keeps_waiting(Clock::time_point now, std::int64_t offset,
                       std::chrono::seconds limit = kLimit);

  private:
    Clock::time_point since_;
    std::int64_t offset_ = 0;
};

/// One Content.Write stream. The ingest stays when the stream is half-closed or cancelled.
class WriteStream {
  public:
    WriteStream(const Connection& connection, const Scope& scope);
    /// Half-closes and waits until containerd has released the ingest, or a stop is requested.
    ~WriteStream();
    WriteStream(const WriteStream&) = delete;
    WriteStream& operator=(const WriteStream&) = delete;

    /// False when the stream has ended; finish() returns its status.
    bool send(const ::containerd::services::content::v1::WriteContentRequest& request);
    bool receive(::containerd::services::content::v1::WriteContentResponse& response);
    /// Half-closes, discards the remaining responses (containerd repeats its last one) and returns
    /// the status of the call. May be called again.
    grpc::Status finish();

  private:
    Call call_;
    ::containerd::services::content::v1::Content::Stub stub_;
    // Must be destroyed before the call.
    std::unique_ptr<
        grpc::ClientReaderWriter<::containerd::services::content::v1::WriteContentRequest,
                                 ::containerd::services::content::v1::WriteContentResponse>>
        stream_;
    std::optional<grpc::Status> status_;
};

/// A stream after its first response, or the status with which it ended instead.
struct OpenedStream {
    std::unique_ptr<WriteStream> stream;  ///< null: see `status`
    ::containerd::services::content::v1::WriteContentResponse response;
    grpc::Status status;
};

/// Sends `first`, which opens the ingest, and waits while another client holds it.
/// @throws Error conflict if that client makes no progress for LockWait::kLimit; unavailable;
/// cancelled.
OpenedStream open_stream(const Connection& connection, const Scope& scope,
                         const ::containerd::services::content::v1::WriteContentRequest& first);

/// The blob to write and its ingest, for requests and error messages.
struct IngestTarget {
    const Connection& connection;
    Scope scope;
    std::string ref;
    oci::Digest digest;
    std::uint64_t size;

    std::string what() const { return "store the blob " + digest.str(); }
};

/// The message that opens an ingest. With its digest containerd finds the blob in this namespace,
/// or adopts it from another one.
::containerd::services::content::v1::WriteContentRequest opening_request(
    const IngestTarget& target);
/// @throws Error unless the stream is open.
void require_opened(const IngestTarget& target, const OpenedStream& opened);
/// @throws Error corrupt if the blob is longer than declared. containerd would notice only at the
/// commit, after its disk was filled.
void require_declared_size(const IngestTarget& target, std::uint64_t position, std::size_t count);

/// Content::set_labels().
void set_blob_labels(const Connection& connection, const Scope& scope, const oci::Digest& digest,
                     const Labels& labels);
/// Content::abort().
void abort_ingest(const Connection& connection, const Scope& scope, const std::string& ref);

/// Handles the final status of a stream that sent a commit. When it returns, the blob exists with
/// `labels`. An ingest whose bytes containerd refuses is aborted, so that no writer resumes from
/// them. @throws Error corrupt for such bytes, and as error_of().
void finish_commit(const IngestTarget& target, const grpc::Status& status, const Labels& labels);

/// The BlobWriter that streams through Content.Write.
class StreamWriter final : public BlobWriter {
  public:
    StreamWriter(IngestTarget target, std::unique_ptr<WriteStream> stream, std::uint64_t offset);

    std::uint64_t offset() const override { return position_; }
    void write(std::span<const std::byte> bytes) override;
    void commit(const Labels& labels) override;

  private:
    void receive_response();
    [[noreturn]] void throw_broken();

    IngestTarget target_;
    std::unique_ptr<WriteStream> stream_;
    std::uint64_t position_;
    // The positions that the outstanding responses must report.
    std::queue<std::uint64_t> unacknowledged_;
    ::containerd::services::content::v1::WriteContentRequest request_;
};

}  // namespace prebake::containerd
