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

    enum class Place {
        snapshot,  ///< the snapshot that is to have the tree; its owner removes it
        staging,   ///< elsewhere, until move_to(): what is left there is removed at the end
    };

    /// `directory` is empty and on this machine. @throws Error if it cannot be opened.
    LayerTree(std::filesystem::path directory, Place place, layer::Whiteouts whiteouts);
    ~LayerTree();
    LayerTree(const LayerTree&) = delete;
    LayerTree& operator=(const LayerTree&) = delete;

    /// Writes what `bytes`, the layer as it is stored, contains, and returns its diffID. Adds to
    /// `times`. Calls `on_read` before each read; it may throw. After an error the directory is
    /// empty.
    /// @throws Error corrupt if they are no layer; no_space; io; permission_denied.
    oci::Digest write(Source& bytes, const oci::Descriptor& layer, StageTimes& times,
                      const std::function<void()>& on_read);
    /// Completes what depends on the layers below: their directories, the nearest first. What this
    /// changes is metadata alone.
    void finish(const std::vector<std::filesystem::path>& lowers);
    /// Exchanges the directory with `place`, the empty one of a snapshot on the same file system
    /// that is to have these files. @throws Error.
    void move_to(const std::filesystem::path& place);

    /// When the last byte was written: a file system that was synced since then has them all.
    Clock::time_point written_at() const { return written_at_; }

  private:
    void clear() const;

    std::filesystem::path directory_;
    Place place_;
    FileDescriptor opened_;
    layer::TreeWriter writer_;
    Clock::time_point written_at_ = {};
};

/// Empty if this process may write trees; else the reason: a capability that it lacks. What a
/// LayerTree does is done with all of them; outside, they need not be effective.
std::string obstacle_to_writing_trees();

/// Takes the capabilities for trees out of the effective ones of the calling thread, and so of
/// those that it starts: a LayerTree makes them effective while it works. A defect elsewhere, such
/// as a wrong path, then does no more damage than without them; it is no barrier to somebody who
/// runs code in this process. Does nothing where programs that are run would get them back.
void keep_back_tree_capabilities();

}  // namespace prebake::bake
