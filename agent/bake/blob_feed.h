#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

#include "agent/base/file.h"
#include "agent/base/slots.h"
#include "agent/base/stream.h"

namespace prebake::bake {

/// The bytes of one blob while a download stores them, for a reader that unpacks them meanwhile.
/// The file of the ingest is the channel between the two: it holds any distance between them, and
/// what the reader reads is still in the page cache. Thread-safe.
class BlobFeed {
  public:
    /// The download has opened the ingest, which holds `available` bytes. They can be read in
    /// `file`; nothing: not before the blob is stored. If the download restarts in another
    /// file, the readers of the first one fail.
    void begin(std::optional<FileDescriptor> file, std::uint64_t available);
    /// The file holds `available` bytes now.
    void advance(std::uint64_t available);
    /// The blob is in the content store, and has its digest.
    void stored();
    /// This download stores nothing more. Its readers fail; another one may follow.
    void failed();

    /// Waits until there is something to read. Null: the blob is stored, and is read there. The
    /// feed and `slot` must live longer than what is returned. Its reads give `slot` up while they
    /// wait; it must be held when they begin.
    /// @throws Error failed_precondition if the download failed; cancelled.
    std::unique_ptr<Source> follow(const std::stop_token& stop, std::unique_lock<Slots>& slot);

  private:
    class Reader;
    enum class State { waiting, growing, stored, failed };
    struct File {
        FileDescriptor descriptor;
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
    };

    std::mutex mutex_;
    std::condition_variable_any changed_;
    State state_ = State::waiting;
    std::shared_ptr<const File> file_;
    std::uint64_t available_ = 0;
};

}  // namespace prebake::bake
