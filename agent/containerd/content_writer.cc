#include "agent/containerd/content_writer.h"

#include <algorithm>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/containerd/wire.h"

namespace prebake::containerd {
namespace {

namespace content_api = ::containerd::services::content::v1;

constexpr std::chrono::milliseconds kLockPoll{200};
/// Messages in flight before a response is awaited: containerd writes one while the next one
/// travels.
constexpr std::size_t kWindow = 2;

/// Waits before the next attempt to open a locked ingest. containerd reports UNAVAILABLE for it, as
/// gRPC does if containerd is gone; in that case the call in here fails.
void wait_for_writer(const Connection& connection, const Scope& scope, const std::string& ref,
                     const grpc::Status& locked, LockWait& wait) {
    content_api::StatusRequest request;
    request.set_ref(ref);
    content_api::StatusResponse response;
    const grpc::Status status = invoke(connection, scope, &content_api::Content::Stub::Status,
                                       request, response, kReadTimeout);
    // Not found: the other client has just finished, or just started.
    if (status.error_code() != grpc::StatusCode::NOT_FOUND) {
        check(status, connection, "read the state of the ingest " + ref);
    }
    if (!wait.keeps_waiting(LockWait::Clock::now(), response.status().offset())) {
        throw Error(Errc::conflict,
                    "cannot write the ingest " + ref + " in namespace " + scope.ns +
                        ": another client holds it and has made no progress for a minute (" +
                        locked.error_message() + ")",
                    "stop the other client, or restart containerd");
    }
    sleep_for(kLockPoll, connection.stop());
}

}  // namespace

bool LockWait::keeps_waiting(Clock::time_point now, std::int64_t offset,
                             std::chrono::seconds limit) {
    if (offset != offset_) {
        offset_ = offset;
        since_ = now;
    }
    return now - since_ < limit;
}

WriteStream::WriteStream(const Connection& connection, const Scope& scope)
    : call_(connection, scope, std::nullopt),
      stub_(connection.channel().grpc()),
      stream_(stub_.Write(&call_.context())) {}

WriteStream::~WriteStream() {
    finish();
}

bool WriteStream::send(const content_api::WriteContentRequest& request) {
    return !status_ && stream_->Write(request);
}

bool WriteStream::receive(content_api::WriteContentResponse& response) {
    return !status_ && stream_->Read(&response);
}

grpc::Status WriteStream::finish() {
    if (!status_) {
        stream_->WritesDone();
        content_api::WriteContentResponse ignored;
        while (stream_->Read(&ignored)) {
        }
        status_ = stream_->Finish();
    }
    return *status_;
}

OpenedStream open_stream(const Connection& connection, const Scope& scope,
                         const content_api::WriteContentRequest& first) {
    LockWait wait(LockWait::Clock::now());
    for (;;) {
        OpenedStream opened{.stream = std::make_unique<WriteStream>(connection, scope),
                            .response = {},
                            .status = {}};
        if (opened.stream->send(first) && opened.stream->receive(opened.response)) return opened;
        opened.status = opened.stream->finish();
        if (opened.status.error_code() != grpc::StatusCode::UNAVAILABLE) {
            opened.stream.reset();
            return opened;
        }
        wait_for_writer(connection, scope, first.ref(), opened.status, wait);
    }
}

content_api::WriteContentRequest opening_request(const IngestTarget& target) {
    content_api::WriteContentRequest request;
    request.set_action(content_api::STAT);
    request.set_ref(target.ref);
    request.set_total(static_cast<std::int64_t>(target.size));
    request.set_expected(target.digest.str());
    return request;
}

void require_opened(const IngestTarget& target, const OpenedStream& opened) {
    check(opened.status, target.connection, target.what());
    if (opened.stream) return;
    throw Error(Errc::unavailable,
                "cannot " + target.what() + ": containerd ended the stream early");
}

void require_declared_size(const IngestTarget& target, std::uint64_t position, std::size_t count) {
    if (position <= target.size && count <= target.size - position) return;
    throw Error(Errc::corrupt, "cannot " + target.what() + ": it is longer than the " +
                                   std::to_string(target.size) + " bytes that were declared");
}

void set_blob_labels(const Connection& connection, const Scope& scope, const oci::Digest& digest,
                     const Labels& labels) {
    // An update with an empty mask would remove all labels.
    if (labels.empty()) return;
    content_api::UpdateRequest request;
    request.mutable_info()->set_digest(digest.str());
    labels_to(labels, *request.mutable_info()->mutable_labels());
    add_label_paths(labels, *request.mutable_update_mask());
    content_api::UpdateResponse response;
    check(invoke(connection, scope, &content_api::Content::Stub::Update, request, response,
                 kWriteTimeout),
          connection, "label the blob " + digest.str());
}

void abort_ingest(const Connection& connection, const Scope& scope, const std::string& ref) {
    content_api::AbortRequest request;
    request.set_ref(ref);
    google::protobuf::Empty response;
    const grpc::Status status = invoke(connection, scope, &content_api::Content::Stub::Abort,
                                       request, response, kWriteTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return;
    check(status, connection, "abort the ingest " + ref);
}

void finish_commit(const IngestTarget& target, const grpc::Status& status, const Labels& labels) {
    if (status.ok()) return;
    if (status.error_code() == grpc::StatusCode::ALREADY_EXISTS) {
        // The other client has set its own labels.
        set_blob_labels(target.connection, target.scope, target.digest, labels);
        return;
    }
    Error error = error_of(status, target.connection, target.what());
    if (status.error_code() != grpc::StatusCode::FAILED_PRECONDITION) throw Error(error);
    try {
        abort_ingest(target.connection, target.scope, target.ref);
    } catch (const Error& also) {
        error = Error(error.code(), error.message() + " (and " + also.message() + ")");
    }
    throw Error(Errc::corrupt, error.message());
}

StreamWriter::StreamWriter(IngestTarget target, std::unique_ptr<WriteStream> stream,
                           std::uint64_t offset)
    : target_(std::move(target)), stream_(std::move(stream)), position_(offset) {
    request_.set_action(content_api::WRITE);
}

void StreamWriter::write(std::span<const std::byte> bytes) {
    require_declared_size(target_, position_, bytes.size());
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min(bytes.size(), kWriteMessageBytes));
        request_.set_offset(static_cast<std::int64_t>(position_));
        request_.set_data(part.data(), part.size());
        if (!stream_->send(request_)) throw_broken();
        position_ += part.size();
        unacknowledged_.push(position_);
        if (unacknowledged_.size() >= kWindow) receive_response();
        bytes = bytes.subspan(part.size());
    }
}

void StreamWriter::commit(const Labels& labels) {
    content_api::WriteContentRequest request;
    request.set_action(content_api::COMMIT);
    request.set_offset(static_cast<std::int64_t>(position_));
    request.set_total(static_cast<std::int64_t>(target_.size));
    request.set_expected(target_.digest.str());
    labels_to(labels, *request.mutable_labels());
    const bool sent = stream_->send(request);
    while (sent && !unacknowledged_.empty()) receive_response();
    content_api::WriteContentResponse response;
    const bool committed =
        sent && stream_->receive(response) && response.action() == content_api::COMMIT;
    const grpc::Status status = stream_->finish();
    finish_commit(target_, status, labels);
    if (status.ok() && !committed) {
        throw Error(Errc::unavailable,
                    "cannot " + target_.what() + ": containerd ended the stream early");
    }
}

void StreamWriter::receive_response() {
    content_api::WriteContentResponse response;
    if (!stream_->receive(response)) throw_broken();
    const std::uint64_t expected = unacknowledged_.front();
    unacknowledged_.pop();
    if (static_cast<std::uint64_t>(response.offset()) != expected) {
        throw Error(Errc::conflict, "cannot " + target_.what() + ": the ingest " + target_.ref +
                                        " is at byte " + std::to_string(response.offset()) +
                                        " instead of " + std::to_string(expected));
    }
}

void StreamWriter::throw_broken() {
    const grpc::Status status = stream_->finish();
    check(status, target_.connection, target_.what());
    throw Error(Errc::unavailable,
                "cannot " + target_.what() + ": containerd ended the stream early");
}

}  // namespace prebake::containerd
