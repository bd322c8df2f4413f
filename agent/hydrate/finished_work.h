#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/hydrate/chunk_set.h"
#include "agent/hydrate/planned_volumes.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// What runs before this one have done of a volume.
struct FinishedWork {
    bool is_finished = false;              ///< all of it is read
    std::vector<std::uint64_t> done = {};  ///< of each part: so many chunks from its beginning
    ChunkSet failed = {};                  ///< those of them that could not be read
};

/// Looks a volume up in the document of finished work. It holds for the same plan and the same
/// disk: its serial, or if it has none, the UUID of the file system. Otherwise nothing is done.
/// Pure.
FinishedWork finished_work(const v1::Hydration& document, const std::string& plan,
                           const VolumeToRead& volume, const std::string& serial);

/// At most so many runs of failed chunks are kept in documents.
inline constexpr int kMostFailedRuns = 64;

/// Puts chunks that have failed into a document: their number, and the first of their runs.
void set_failed(const ChunkSet& failed, v1::HydratedVolume& volume);

/// Writes a document durably on a thread of its own, because a write to a disk that loads lazily
/// may take as long as many reads. If documents come faster than they are written, the last one
/// counts.
class DocumentWriter {
  public:
    explicit DocumentWriter(std::filesystem::path path);
    /// Writes the last document first.
    ~DocumentWriter();
    DocumentWriter(const DocumentWriter&) = delete;
    DocumentWriter& operator=(const DocumentWriter&) = delete;

    void put(v1::Hydration document);
    /// Waits until everything is written. Why the last write failed; empty: it did not.
    std::string finish();

  private:
    void run();

    std::filesystem::path path_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<v1::Hydration> next_;
    bool is_over_ = false;
    std::string problem_;
    std::thread thread_;  // "document": last, because it uses the rest
};

}  // namespace prebake::hydrate
