#include "agent/containerd/in_place_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/containerd/wire.h"

namespace prebake::containerd {
namespace {

namespace content_api = ::containerd::services::content::v1;

constexpr std::chrono::milliseconds kOtherWriterPoll{200};
/// How often the kernel is asked to begin writing to the disk. Otherwise all of it is left for the
/// fsync of containerd's commit, during which 1.x blocks every other change.
constexpr std::uint64_t kWriteBackBytes = 8UL << 20;

/// An error of the ingest's file, from errno.
Error file_error(const IngestTarget& target, std::string_view what,
                 const std::filesystem::path& path) {
    Error error = errno_error(what, path);
    if (error.code() != Errc::no_space) return error.within("cannot " + target.what());
    return Error(Errc::no_space, "cannot " + target.what() + ": " + error.message(),
                 "free disk space for containerd");
}

Error changed_meanwhile(const IngestTarget& target, const std::string& what) {
    return Error(Errc::conflict,
                 "cannot " + target.what() + ": " + what + " while prebake filled it",
                 "look for another program that changes containerd's content store, then try "
                 "again");
}

/// Waits for the process that fills the ingest, as long as it makes progress.
void wait_for_process(const IngestTarget& target, const IngestFiles& files) {
    LockWait wait(LockWait::Clock::now());
    while (!files.try_lock()) {
        const std::uint64_t size = files.size();
        // containerd hashes a full file, and syncs it.
        const std::chrono::seconds limit =
            size < target.size ? LockWait::kLimit : std::chrono::seconds(kWriteTimeout);
        if (!wait.keeps_waiting(LockWait::Clock::now(), static_cast<std::int64_t>(size), limit)) {
            throw Error(Errc::conflict,
                        "cannot " + target.what() + ": another process fills " +
                            files.data_path().string() + " and makes no progress",
                        "stop the other prebake");
        }
        sleep_for(kOtherWriterPoll, target.connection.stop());
    }
}

/// What to do with an ingest that containerd has open.
enum class Step { stream, fill, wait, look_again, discard };

Step step_for(const IngestTarget& target, std::uint64_t offset,
              const std::optional<IngestFiles>& files) {
    if (!files) return Step::stream;
    if (!files->is_sound()) return Step::discard;
    if (!files->try_lock()) return Step::wait;
    // Bytes that containerd has not seen: of a process that has just ended, perhaps.
    if (files->size() != offset) return Step::look_again;
    return offset >= target.size ? Step::discard : Step::fill;
}

/// A blob that containerd adopts from another namespace, or whose commit did not come to its end.
bool is_whole(const IngestTarget& target, const content_api::WriteContentResponse& ingest) {
    return static_cast<std::uint64_t>(ingest.offset()) == target.size &&
           ingest.digest() == target.digest.str();
}

}  // namespace

InPlaceWriter::InPlaceWriter(IngestTarget target, IngestFiles files)
    : target_(std::move(target)),
      files_(std::move(files)),
      position_(files_.size()),
      written_back_(position_) {
    reserve();
}

InPlaceWriter::~InPlaceWriter() {
    // A file that was renamed may be somebody's blob.
    if (files_.data() >= 0 && files_.is_in_place()) give_back_space();
}

/// If this fails, the space stays reserved until the ingest is resumed or collected.
bool InPlaceWriter::give_back_space() const {
    return ::ftruncate(files_.data(), static_cast<off_t>(position_)) == 0;
}

void InPlaceWriter::require_in_place() const {
    if (files_.is_in_place()) return;
    throw changed_meanwhile(target_, files_.data_path().string() + " was removed or replaced");
}

/// Finds out now, and not after a long download, that the disk is too small. The size of the file
/// does not change: it is the offset at which the ingest is resumed.
void InPlaceWriter::reserve() {
    if (position_ >= target_.size) return;
    const auto begin = static_cast<off_t>(position_);
    const auto length = static_cast<off_t>(target_.size - position_);
    int result = 0;
    do {
        result = ::fallocate(files_.data(), FALLOC_FL_KEEP_SIZE, begin, length);
    } while (result != 0 && errno == EINTR);
    if (result == 0) return;
    const int number = errno;
    // A part may be reserved. If that stays, it fails other blobs.
    give_back_space();
    errno = number;
    // Not every file system can do it.
    if (number != ENOSPC && number != EDQUOT) return;
    throw file_error(target_, "cannot reserve " + std::to_string(length) + " bytes in",
                     files_.data_path());
}

void InPlaceWriter::write(std::span<const std::byte> bytes) {
    require_declared_size(target_, position_, bytes.size());
    require_in_place();
    while (!bytes.empty()) {
        const ssize_t written =
            ::pwrite(files_.data(), bytes.data(), bytes.size(), static_cast<off_t>(position_));
        if (written < 0) {
            if (errno == EINTR) continue;
            throw file_error(target_, "cannot write", files_.data_path());
        }
        position_ += static_cast<std::uint64_t>(written);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    if (position_ - written_back_ < kWriteBackBytes) return;
    // Only a hint: an error shows up in the fsync, too.
    ::sync_file_range(files_.data(), static_cast<off64_t>(written_back_),
                      static_cast<off64_t>(position_ - written_back_), SYNC_FILE_RANGE_WRITE);
    written_back_ = position_;
}

void InPlaceWriter::commit(const Labels& labels) {
    if (files_.data() >= 0) {
        // containerd would follow a link, and takes what has this name.
        require_in_place();
        // It also seals the file (fs-verity), which is not possible while one can write to it.
        files_.close_data();
    }
    content_api::WriteContentRequest request = opening_request(target_);
    request.set_action(content_api::COMMIT);
    request.set_offset(static_cast<std::int64_t>(position_));
    labels_to(labels, *request.mutable_labels());
    OpenedStream opened = open_stream(target_.connection, target_.scope, request);
    const grpc::Status status = opened.stream ? opened.stream->finish() : opened.status;
    if (status.error_code() == grpc::StatusCode::OUT_OF_RANGE) {
        throw changed_meanwhile(
            target_, "the ingest was removed or written (" + status.error_message() + ")");
    }
    finish_commit(target_, status, labels);
    // If the blob was there, containerd has not touched the ingest.
    if (!status.ok()) abort_ingest(target_.connection, target_.scope, target_.ref);
}

std::optional<FileDescriptor> InPlaceWriter::readable_file() const {
    FileDescriptor file(::fcntl(files_.readable(), F_DUPFD_CLOEXEC, 0));
    if (!file) throw errno_error("cannot duplicate the descriptor of", files_.data_path());
    return file;
}

std::unique_ptr<BlobWriter> open_in_place(const IngestTarget& target,
                                          const IngestDirectory& directory) {
    bool was_looked_at = false;
    bool was_discarded = false;
    for (;;) {
        OpenedStream opened = open_stream(target.connection, target.scope, opening_request(target));
        if (opened.status.error_code() == grpc::StatusCode::ALREADY_EXISTS) return nullptr;
        require_opened(target, opened);
        const auto offset = static_cast<std::uint64_t>(opened.response.offset());
        std::optional<IngestFiles> files;
        if (!is_whole(target, opened.response)) {
            files = directory.open({.ns = target.scope.ns,
                                    .ref = target.ref,
                                    .started_at = opened.response.started_at()});
        }
        Step step = step_for(target, offset, files);
        if (step == Step::stream) {
            return std::make_unique<StreamWriter>(target, std::move(opened.stream), offset);
        }
        // containerd releases the ingest.
        check(opened.stream->finish(), target.connection, target.what());
        if (step == Step::fill) return std::make_unique<InPlaceWriter>(target, std::move(*files));
        if (step == Step::wait) wait_for_process(target, *files);
        if (step == Step::look_again && std::exchange(was_looked_at, true)) step = Step::discard;
        if (step != Step::discard) continue;
        if (std::exchange(was_discarded, true)) {
            throw changed_meanwhile(target, "a new ingest already had contents");
        }
        abort_ingest(target.connection, target.scope, target.ref);
    }
}

std::string in_place_ref(const oci::Digest& digest) {
    return "prebake-" + digest.str();
}

}  // namespace prebake::containerd
