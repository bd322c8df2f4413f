#include "agent/containerd/content_writer.h"

#include <algorithm>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/containerd/wire.h"

namespace prebake::containerd {
namespace {

namespace api = ::containerd::services::content::v1;

constexpr std::chrono::milliseconds kLockPoll{200};
/// Messages under way before an answer is awaited: containerd writes one while the next one
/// travels.
constexpr std::size_t kWindow = 2;

/// Waits before another try to get at an ingest that is locked. containerd says UNAVAILABLE for
/// that; that it answers here is what tells "locked" from "gone".
void wait_for_writer(const Connection& connection, const Scope& scope, const std::string& ref,
                     const grpc::Status& locked, LockPatience& patience) {
    api::StatusRequest request;
    request.set_ref(ref);
    api::StatusResponse response;
    const grpc::Status status =
        invoke(connection, scope, &api::Content::Stub::Status, request, response, kReadPatience);
    // Not found: the other client has just finished, or has only begun.
    if (status.error_code() != grpc::StatusCode::NOT_FOUND) {
        check(status, connection, "read the state of the ingest " + ref);
    }
    if (!patience.goes_on(LockPatience::Clock::now(), response.status().offset())) {
        throw Error(Errc::conflict,
                    "cannot write the ingest " + ref + " in namespace " + scope.ns +
                        ": another client holds it and has made no progress for a minute (" +
                        locked.error_message() + ")",
                    "stop the other client, or restart containerd");
    }
    sleep_for(kLockPoll, connection.stop());
}

}  // namespace

bool LockPatience::goes_on(Clock::time_point now, std::int64_t offset) {
    if (offset != offset_) {
        offset_ = offset;
        since_ = now;
    }
    return now - since_ < kLimit;
}

WriteStream::WriteStream(const Connection& connection, const Scope& scope)
    : call_(connection, scope, std::nullopt),
      stub_(connection.impl().channel()),
      stream_(stub_.Write(&call_.context())) {}

WriteStream::~WriteStream() {
    finish();
}

bool WriteStream::send(const api::WriteContentRequest& request) {
    return !status_ && stream_->Write(request);
}

bool WriteStream::receive(api::WriteContentResponse& response) {
    return !status_ && stream_->Read(&response);
}

grpc::Status WriteStream::finish() {
    if (!status_) {
        stream_->WritesDone();
        api::WriteContentResponse ignored;
        while (stream_->Read(&ignored)) {
        }
        status_ = stream_->Finish();
    }
    return *status_;
}

OpenedStream open_stream(const Connection& connection, const Scope& scope,
                         const api::WriteContentRequest& first) {
    LockPatience patience(LockPatience::Clock::now());
    for (;;) {
        OpenedStream opened{
            .stream = std::make_unique<WriteStream>(connection, scope), .answer = {}, .status = {}};
        if (opened.stream->send(first) && opened.stream->receive(opened.answer)) return opened;
        opened.status = opened.stream->finish();
        if (opened.status.error_code() != grpc::StatusCode::UNAVAILABLE) {
            opened.stream.reset();
            return opened;
        }
        wait_for_writer(connection, scope, first.ref(), opened.status, patience);
    }
}

void settle_commit(const IngestTarget& target, const grpc::Status& status, const Labels& labels) {
    if (status.ok()) return;
    const Content content(target.connection, target.scope);
    if (status.error_code() == grpc::StatusCode::ALREADY_EXISTS) {
        // Whoever was faster has set labels of its own.
        content.set_labels(target.digest, labels);
        return;
    }
    Error error = error_of(status, target.connection, target.what());
    if (status.error_code() != grpc::StatusCode::FAILED_PRECONDITION) throw Error(error);
    try {
        content.abort(target.ref);
    } catch (const Error& also) {
        error = Error(error.code(), error.message() + " (and " + also.message() + ")");
    }
    throw Error(Errc::corrupt, error.message());
}

StreamWriter::StreamWriter(IngestTarget target, std::unique_ptr<WriteStream> stream,
                           std::uint64_t offset)
    : target_(std::move(target)), stream_(std::move(stream)), position_(offset) {
    request_.set_action(api::WRITE);
}

void StreamWriter::write(std::span<const std::byte> bytes) {
    // containerd would find out only at the commit, with its disk full of what someone keeps
    // sending.
    if (position_ > target_.size || bytes.size() > target_.size - position_) {
        throw Error(Errc::corrupt, "cannot " + target_.what() + ": it is longer than the " +
                                       std::to_string(target_.size) + " bytes that were declared");
    }
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min(bytes.size(), kWriteMessageBytes));
        request_.set_offset(static_cast<std::int64_t>(position_));
        request_.set_data(part.data(), part.size());
        if (!stream_->send(request_)) throw_broken();
        position_ += part.size();
        unanswered_.push(position_);
        if (unanswered_.size() >= kWindow) receive_answer();
        bytes = bytes.subspan(part.size());
    }
}

void StreamWriter::commit(const Labels& labels) {
    api::WriteContentRequest request;
    request.set_action(api::COMMIT);
    request.set_offset(static_cast<std::int64_t>(position_));
    request.set_total(static_cast<std::int64_t>(target_.size));
    request.set_expected(target_.digest.str());
    labels_to(labels, *request.mutable_labels());
    const bool sent = stream_->send(request);
    while (sent && !unanswered_.empty()) receive_answer();
    api::WriteContentResponse answer;
    const bool committed = sent && stream_->receive(answer) && answer.action() == api::COMMIT;
    const grpc::Status status = stream_->finish();
    settle_commit(target_, status, labels);
    if (status.ok() && !committed) {
        throw Error(Errc::unavailable,
                    "cannot " + target_.what() + ": containerd ended the stream early");
    }
}

void StreamWriter::receive_answer() {
    api::WriteContentResponse answer;
    if (!stream_->receive(answer)) throw_broken();
    const std::uint64_t expected = unanswered_.front();
    unanswered_.pop();
    if (static_cast<std::uint64_t>(answer.offset()) != expected) {
        throw Error(Errc::conflict, "cannot " + target_.what() + ": the ingest " + target_.ref +
                                        " is at byte " + std::to_string(answer.offset()) +
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
