#include "agent/guard/protected_images.h"

#include <algorithm>

#include "agent/store/placements.h"

namespace prebake::guard {

void ProtectedImages::set_baked(std::shared_ptr<const store::BakedImages> baked) {
    baked_ = std::move(baked);
    const auto is_gone = [&](const ImageKey& key) { return !baked_->contains(key); };
    std::erase_if(unpinned_, is_gone);
    std::erase_if(evicted_, is_gone);
    std::erase_if(restored_, [&](const auto& restored) {
        const store::PlacedImage* const placed = placed_at(restored.first);
        return placed == nullptr || to_time(placed->image.baked_at()) != restored.second;
    });
    std::erase_if(removed_, [&](const ImageKey& key) { return !restored_.contains(key); });
}

const store::PlacedImage* ProtectedImages::placed_at(const ImageKey& key) const {
    const auto& images = baked_->images();
    const auto found = std::ranges::find_if(
        images, [&](const store::PlacedImage& placed) { return placed.key == key; });
    return found == images.end() ? nullptr : &*found;
}

v1::BakeRecord ProtectedImages::wanted() const {
    return selected(nullptr);
}

v1::BakeRecord ProtectedImages::wanted(const std::set<ImageKey>& keys) const {
    return selected(&keys);
}

v1::BakeRecord ProtectedImages::selected(const std::set<ImageKey>* keys) const {
    v1::BakeRecord chosen;
    const v1::BakedImage* last = nullptr;
    for (const store::PlacedImage& placed : baked_->images()) {
        const ImageKey& key = placed.key;
        if (evicted_.contains(key) || removed_.contains(key)) continue;
        if (store::is_in_graph_driver(placed.placement)) continue;
        if (keys != nullptr && !keys->contains(key)) continue;
        // The placements of an image follow each other.
        if (last != &placed.image) {
            last = &placed.image;
            v1::BakedImage& copy = *chosen.add_images();
            copy = placed.image;
            copy.clear_placements();
        }
        v1::Placement& placement =
            *chosen.mutable_images(chosen.images_size() - 1)->add_placements();
        placement = placed.placement;
        placement.set_pinned(is_pinned(placed));
    }
    return chosen;
}

bool ProtectedImages::is_pinned(const store::PlacedImage& placed) const {
    return placed.placement.pinned() && !unpinned_.contains(placed.key);
}

store::NameSet ProtectedImages::pinned_names() const {
    store::NameSet names;
    for (const store::PlacedImage& placed : baked_->images()) {
        if (!is_pinned(placed)) continue;
        for (const std::string& name : placed.placement.names()) names.emplace(placed.key.ns, name);
    }
    return names;
}

bool ProtectedImages::wants_pin(std::string_view ns, std::string_view name) const {
    const std::vector<ImageKey> keys = baked_->named(ns, name);
    return std::any_of(baked_->images().begin(), baked_->images().end(),
                       [&](const store::PlacedImage& placed) {
                           return is_pinned(placed) &&
                                  std::find(keys.begin(), keys.end(), placed.key) != keys.end();
                       });
}

void ProtectedImages::set_unpinned(const ImageKey& key, bool is_unpinned) {
    if (is_unpinned) {
        has_changed_ |= unpinned_.insert(key).second;
    } else {
        has_changed_ |= unpinned_.erase(key) > 0;
        evicted_.erase(key);
    }
}

void ProtectedImages::set_evicted(const ImageKey& key, bool is_evicted) {
    if (is_evicted && unpinned_.contains(key)) {
        has_changed_ |= evicted_.insert(key).second;
    } else {
        has_changed_ |= evicted_.erase(key) > 0;
    }
}

void ProtectedImages::set_restored(const ImageKey& key) {
    const store::PlacedImage* const placed = placed_at(key);
    if (placed == nullptr) return;
    has_changed_ |= restored_.emplace(key, to_time(placed->image.baked_at())).second;
}

void ProtectedImages::set_removed(const ImageKey& key, bool is_removed) {
    if (is_removed && restored_.contains(key)) {
        has_changed_ |= removed_.insert(key).second;
    } else {
        has_changed_ |= removed_.erase(key) > 0;
    }
}

void ProtectedImages::load(const google::protobuf::RepeatedPtrField<v1::RestoredImage>& restored) {
    for (const v1::RestoredImage& image : restored) {
        const ImageKey key{
            .image = image.name(), .ns = image.namespace_(), .platform = image.platform()};
        const store::PlacedImage* const placed = placed_at(key);
        if (placed == nullptr || to_time(placed->image.baked_at()) != to_time(image.baked_at()))
            continue;
        set_restored(key);
        set_removed(key, image.removed());
    }
    has_changed_ = false;
}

void ProtectedImages::store(google::protobuf::RepeatedPtrField<v1::RestoredImage>& restored) const {
    for (const auto& [key, baked_at] : restored_) {
        v1::RestoredImage& image = *restored.Add();
        image.set_namespace_(key.ns);
        image.set_name(key.image);
        image.set_platform(key.platform);
        image.set_removed(removed_.contains(key));
        *image.mutable_baked_at() = to_timestamp(baked_at);
    }
}

void ProtectedImages::load(const google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned) {
    for (const v1::UnpinnedImage& image : unpinned) {
        for (const store::PlacedImage& placed : baked_->images()) {
            const ImageKey& key = placed.key;
            if (key.image != image.name() || key.ns != image.namespace_()) continue;
            // Older ledgers do not name the platform.
            if (!image.platform().empty() && key.platform != image.platform()) continue;
            set_unpinned(key, true);
            set_evicted(key, image.evicted());
        }
    }
    has_changed_ = false;
}

void ProtectedImages::store(google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned) const {
    for (const ImageKey& key : unpinned_) {
        v1::UnpinnedImage& image = *unpinned.Add();
        image.set_namespace_(key.ns);
        image.set_name(key.image);
        image.set_platform(key.platform);
        image.set_evicted(evicted_.contains(key));
    }
}

}  // namespace prebake::guard
