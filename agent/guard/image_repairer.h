#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "agent/bake/event.h"
#include "agent/containerd/connection.h"
#include "agent/store/names.h"
#include "agent/store/snapshotter.h"
#include "agent/store/verify.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::guard {

/// Finds and repairs what is wrong with baked images in containerd.
class ImageRepairer {
  public:
    virtual ~ImageRepairer() = default;

    /// As store::verify(), with these snapshotters.
    virtual std::vector<store::Finding> verify(const v1::BakeRecord& record,
                                               const store::Snapshotters& snapshotters) = 0;
    /// As bake::restore(). `pinned` are the names to pin.
    virtual void restore(const v1::BakedImage& image, const store::Snapshotters& snapshotters,
                         const store::NameSet& pinned) = 0;
    /// False while restore() would fail with conflict, because a bake is running.
    virtual bool can_restore() const = 0;
};

class ContainerdImageRepairer final : public ImageRepairer {
  public:
    /// `state_dir` has the lock that keeps a repair and a bake apart. `events` is notified of each
    /// step of a repair.
    ContainerdImageRepairer(std::filesystem::path state_dir,
                            const containerd::Connection& connection, bake::EventSink& events)
        : state_dir_(std::move(state_dir)), connection_(connection), events_(events) {}

    std::vector<store::Finding> verify(const v1::BakeRecord& record,
                                       const store::Snapshotters& snapshotters) override;
    void restore(const v1::BakedImage& image, const store::Snapshotters& snapshotters,
                 const store::NameSet& pinned) override;
    bool can_restore() const override;

  private:
    std::filesystem::path state_dir_;
    const containerd::Connection& connection_;
    bake::EventSink& events_;
};

}  // namespace prebake::guard
