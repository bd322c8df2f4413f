#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "agent/store/baked_images.h"
#include "agent/store/names.h"
#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::guard {

using store::ImageKey;

/// The images that the node keeps usable, and what the budget did to them: it unpins images to
/// leave room on the disk, and an unpinned image may be evicted (deleted by the kubelet). Pure.
class ProtectedImages {
  public:
    /// Drops what is known about images that `baked` does not have.
    void set_baked(std::shared_ptr<const store::BakedImages> baked);
    /// Valid until the next set_baked().
    const store::BakedImages& baked() const { return *baked_; }
    /// The same, for callers that keep it.
    const std::shared_ptr<const store::BakedImages>& shared_baked() const { return baked_; }

    /// What containerd should have: all images but the evicted ones, pinned as the record asks for,
    /// except where the budget removed the pin.
    v1::BakeRecord wanted() const;
    /// The same for these images alone.
    v1::BakeRecord wanted(const std::set<ImageKey>& keys) const;
    /// The names to pin.
    store::NameSet pinned_names() const;
    bool wants_pin(std::string_view ns, std::string_view name) const;

    const std::set<ImageKey>& unpinned() const { return unpinned_; }
    const std::set<ImageKey>& evicted() const { return evicted_; }
    void set_unpinned(const ImageKey& key, bool is_unpinned);
    /// Only an unpinned image can be evicted.
    void set_evicted(const ImageKey& key, bool is_evicted);

    /// The ledger's file keeps what the budget did across restarts of the daemon. Unknown images
    /// are not loaded.
    void load(const google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned);
    void store(google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned) const;
    /// True once after each change to the unpinned and evicted images.
    bool take_changed() { return std::exchange(has_changed_, false); }

  private:
    v1::BakeRecord selected(const std::set<ImageKey>* keys) const;
    bool is_pinned(const store::PlacedImage& placed) const;

    std::shared_ptr<const store::BakedImages> baked_ = std::make_shared<store::BakedImages>();
    std::set<ImageKey> unpinned_;
    std::set<ImageKey> evicted_;
    bool has_changed_ = false;
};

}  // namespace prebake::guard
