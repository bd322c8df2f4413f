#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "agent/bake/stage_times.h"
#include "agent/base/file.h"
#include "agent/base/stream.h"
#include "agent/layer/tree_writer.h"
#include "agent/oci/digest.h"
#include "agent/oci/manifest.h"

namespace prebake::bake {

/// The files of one layer, written by us into the directory of an active snapshot.
class LayerTree {
  public:
    using Clock = std::chrono::steady_clock;

    /// `directory` is empty and on this machine. @throws Error if it cannot be opened.
    LayerTree(std::filesystem::path directory, layer::Whiteouts whiteouts);

    /// Writes what `bytes`, the layer as it is stored, contains, and returns its diffID. Adds to
    /// `times`. Calls `on_entry` for each file; it may throw. @throws Error corrupt if they are no
    /// layer; no_space; io; permission_denied.
    oci::Digest write(Source& bytes, const oci::Descriptor& layer, StageTimes& times,
                      const std::function<void()>& on_entry);
    /// Completes what depends on the layers below: their directories, the nearest first. What this
    /// changes is metadata alone.
    void finish(const std::vector<std::filesystem::path>& lowers);
    /// Exchanges the directory with `place`, the empty one of a snapshot on the same file system
    /// that is to have these files. @throws Error.
    void move_to(const std::filesystem::path& place);

    const std::filesystem::path& directory() const { return directory_; }
    /// When the last byte was written: a file system that was synced since then has them all.
    Clock::time_point written_at() const { return written_at_; }

  private:
    std::filesystem::path directory_;
    FileDescriptor opened_;
    layer::TreeWriter writer_;
    Clock::time_point written_at_ = {};
};

/// Empty if this process may write any tree; else the reason: a capability that it lacks.
std::string obstacle_to_writing_trees();

}  // namespace prebake::bake
