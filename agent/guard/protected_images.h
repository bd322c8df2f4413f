#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/timestamp.h"
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

    /// What containerd should have: all images but those that are in a graph driver of dockerd, the
    /// evicted and the removed ones; pinned as the record asks for, except where the budget removed
    /// the pin.
    v1::BakeRecord wanted() const;
    /// The same for these images alone.
    v1::BakeRecord wanted(const std::set<ImageKey>& keys) const;
    /// The names to pin.
    store::NameSet pinned_names() const;
    bool wants_pin(std::string_view ns, std::string_view name) const;

    const std::set<ImageKey>& unpinned() const { return unpinned_; }
    const std::set<ImageKey>& evicted() const { return evicted_; }
    /// Images of Docker whose names somebody deleted again after they were restored. Docker users
    /// mean it, and an image that always comes back would be a fight with them.
    const std::set<ImageKey>& removed() const { return removed_; }
    /// Whether names of the image were restored since it was baked.
    bool is_restored(const ImageKey& key) const { return restored_.contains(key); }
    void set_unpinned(const ImageKey& key, bool is_unpinned);
    /// Only an unpinned image can be evicted.
    void set_evicted(const ImageKey& key, bool is_evicted);
    void set_restored(const ImageKey& key);
    /// Only an image whose names were restored can be removed.
    void set_removed(const ImageKey& key, bool is_removed);

    /// The ledger's file keeps what the budget did, and what was restored, across restarts of the
    /// daemon. Unknown images are not loaded, nor images that were baked again.
    void load(const google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned);
    void store(google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned) const;
    void load(const google::protobuf::RepeatedPtrField<v1::RestoredImage>& restored);
    void store(google::protobuf::RepeatedPtrField<v1::RestoredImage>& restored) const;
    /// True once after each change to these sets.
    bool take_changed() { return std::exchange(has_changed_, false); }

  private:
    v1::BakeRecord selected(const std::set<ImageKey>* keys) const;
    bool is_pinned(const store::PlacedImage& placed) const;
    const store::PlacedImage* placed_at(const ImageKey& key) const;

    std::shared_ptr<const store::BakedImages> baked_ = std::make_shared<store::BakedImages>();
    std::set<ImageKey> unpinned_;
    std::set<ImageKey> evicted_;
    std::map<ImageKey, Time> restored_;  ///< -> when the image had been baked
    std::set<ImageKey> removed_;
    bool has_changed_ = false;
};

}  // namespace prebake::guard
