#include "agent/bake/blob_feed.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file_source.h"
#include "agent/base/wait.h"

namespace prebake::bake {
namespace {

Error not_stored() {
    return {Errc::failed_precondition, "the layer is not being stored any more"};
}

}  // namespace

/// Reads what the file holds of the blob, and waits for more.
class BlobFeed::Reader final : public Source {
  public:
    Reader(BlobFeed& feed, std::shared_ptr<const File> file, std::stop_token stop,
           std::unique_lock<Slots>& slot)
        : feed_(feed), file_(std::move(file)), stop_(std::move(stop)), slot_(slot) {}

    std::size_t read(std::span<std::byte> buffer) override {
        std::size_t filled = 0;
        while (filled < buffer.size()) {
            const std::uint64_t available = wait_for_more();
            if (available == position_) break;
            const auto wanted = static_cast<std::size_t>(
                std::min<std::uint64_t>(buffer.size() - filled, available - position_));
            const std::size_t got = read_at(file_->descriptor.get(), buffer.subspan(filled, wanted),
                                            position_, "ingest");
            if (got < wanted) throw not_stored();  // somebody else has cut the file
            position_ += got;
            filled += got;
        }
        return filled;
    }

  private:
    /// Returns how many bytes the file holds: no more than were read already if these are all.
    std::uint64_t wait_for_more() {
        const auto has_changed = [&] {
            return feed_.state_ != State::growing || feed_.file_ != file_ ||
                   feed_.available_ > position_;
        };
        std::unique_lock lock(feed_.mutex_);
        if (!has_changed()) {
            slot_.unlock();
            feed_.changed_.wait(lock, stop_, has_changed);
            // Not with the feed locked: who has the last slot may need the feed.
            lock.unlock();
            slot_.lock();
            lock.lock();
        }
        throw_if_stopped(stop_);
        if (feed_.state_ == State::failed || feed_.file_ != file_) throw not_stored();
        return feed_.available_;
    }

    BlobFeed& feed_;
    std::shared_ptr<const File> file_;
    std::stop_token stop_;
    std::unique_lock<Slots>& slot_;
    std::uint64_t position_ = 0;
};

void BlobFeed::begin(std::optional<FileDescriptor> file, std::uint64_t available) {
    std::shared_ptr<File> opened;
    struct stat status {};
    if (file && ::fstat(file->get(), &status) == 0) {
        opened = std::make_shared<File>();
        opened->descriptor = std::move(*file);
        opened->device = status.st_dev;
        opened->inode = status.st_ino;
    }
    const std::scoped_lock lock(mutex_);
    const bool is_same = opened && file_ && opened->device == file_->device &&
                         opened->inode == file_->inode && available >= available_;
    if (!is_same) file_ = opened;
    state_ = file_ ? State::growing : State::waiting;
    available_ = available;
    changed_.notify_all();
}

void BlobFeed::advance(std::uint64_t available) {
    const std::scoped_lock lock(mutex_);
    available_ = available;
    changed_.notify_all();
}

void BlobFeed::stored() {
    const std::scoped_lock lock(mutex_);
    state_ = State::stored;
    changed_.notify_all();
}

void BlobFeed::failed() {
    const std::scoped_lock lock(mutex_);
    state_ = State::failed;
    file_ = nullptr;
    available_ = 0;
    changed_.notify_all();
}

std::unique_ptr<Source> BlobFeed::follow(const std::stop_token& stop,
                                         std::unique_lock<Slots>& slot) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [&] { return state_ != State::waiting; });
    throw_if_stopped(stop);
    switch (state_) {
        case State::growing:
            return std::make_unique<Reader>(*this, file_, stop, slot);
        case State::stored:
            return nullptr;
        case State::waiting:
        case State::failed:
            break;
    }
    throw not_stored();
}

}  // namespace prebake::bake
