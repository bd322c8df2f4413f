#include "agent/guard/protected_images.h"

#include <algorithm>
#include <iterator>

#include "agent/store/names.h"

namespace prebake::guard {
namespace {

/// Calls `visit` with each image and placement.
template <typename Visit>
void for_each_placement(const v1::BakeRecord& record, Visit visit) {
    for (const v1::BakedImage& image : record.images()) {
        for (const v1::Placement& placement : image.placements()) visit(image, placement);
    }
}

bool is_of(const ImageKey& key, const v1::BakedImage& image, const v1::Placement& placement) {
    return key.image == image.name() && key.ns == placement.namespace_();
}

}  // namespace

void ProtectedImages::set_record(v1::BakeRecord record) {
    record_ = std::move(record);
    rebuild();
}

void ProtectedImages::set_sandbox(std::string name, std::optional<v1::BakedImage> image) {
    sandbox_ = std::move(name);
    sandbox_image_ = std::move(image);
    rebuild();
}

void ProtectedImages::rebuild() {
    names_.clear();
    parts_.clear();
    keys_.clear();
    everything_ = record_;
    if (sandbox_image_) *everything_.add_images() = *sandbox_image_;
    for_each_placement(everything_,
                       [&](const v1::BakedImage& image, const v1::Placement& placement) {
                           const std::string_view ns = placement.namespace_();
                           const std::size_t at = keys_.size();
                           keys_.push_back({.image = image.name(), .ns = placement.namespace_()});
                           const auto add_part = [&](std::string_view part) {
                               if (!part.empty()) parts_.emplace(std::pair(ns, part), at);
                           };
                           for (const std::string_view name : placement.names()) {
                               names_.emplace(std::pair(ns, name), at);
                           }
                           for (const v1::Document& index : image.indexes())
                               add_part(index.digest());
                           add_part(image.manifest().digest());
                           add_part(image.config().digest());
                           for (const v1::Layer& layer : image.layers()) {
                               if (placement.layers_kept()) add_part(layer.digest());
                               // Of a single uncompressed layer, blob and chain have one digest.
                               if (layer.chain_id() != layer.digest() || !placement.layers_kept()) {
                                   add_part(layer.chain_id());
                               }
                           }
                       });
    const auto is_gone = [&](const ImageKey& key) {
        return std::find(keys_.begin(), keys_.end(), key) == keys_.end();
    };
    std::erase_if(unpinned_, is_gone);
    std::erase_if(evicted_, is_gone);
}

std::optional<ImageKey> ProtectedImages::sandbox_key() const {
    if (sandbox_.empty()) return {};
    const std::vector<ImageKey> found = named(store::kCriNamespace, sandbox_);
    return found.empty() ? std::nullopt : std::optional(found.front());
}

bool ProtectedImages::is_baked(const std::string& name) const {
    return std::any_of(record_.images().begin(), record_.images().end(),
                       [&](const v1::BakedImage& image) { return image.name() == name; });
}

v1::BakeRecord ProtectedImages::wanted() const {
    return selected(nullptr);
}

v1::BakeRecord ProtectedImages::wanted(const std::set<ImageKey>& keys) const {
    return selected(&keys);
}

v1::BakeRecord ProtectedImages::selected(const std::set<ImageKey>* keys) const {
    v1::BakeRecord chosen;
    for (const v1::BakedImage& image : everything_.images()) {
        v1::BakedImage copy;
        for (const v1::Placement& placement : image.placements()) {
            const ImageKey key{.image = image.name(), .ns = placement.namespace_()};
            if (evicted_.contains(key) || (keys != nullptr && !keys->contains(key))) continue;
            if (copy.placements().empty()) {
                copy = image;
                copy.clear_placements();
            }
            v1::Placement& own = *copy.add_placements();
            own = placement;
            if (unpinned_.contains(key)) own.set_pinned(false);
        }
        if (!copy.placements().empty()) *chosen.add_images() = std::move(copy);
    }
    return chosen;
}

store::NameSet ProtectedImages::pinned_names() const {
    store::NameSet names;
    for_each_placement(everything_,
                       [&](const v1::BakedImage& image, const v1::Placement& placement) {
                           const ImageKey key{.image = image.name(), .ns = placement.namespace_()};
                           if (!placement.pinned() || unpinned_.contains(key)) return;
                           for (const std::string& name : placement.names()) {
                               names.emplace(placement.namespace_(), name);
                           }
                       });
    return names;
}

std::vector<ImageKey> ProtectedImages::find(const Index& index, std::string_view ns,
                                            std::string_view subject) const {
    std::vector<ImageKey> keys;
    const auto [first, last] = index.equal_range(std::pair(ns, subject));
    std::transform(first, last, std::back_inserter(keys),
                   [&](const auto& entry) { return keys_[entry.second]; });
    return keys;
}

std::vector<ImageKey> ProtectedImages::named(std::string_view ns, std::string_view name) const {
    return find(names_, ns, name);
}

std::vector<ImageKey> ProtectedImages::made_of(std::string_view ns, std::string_view part) const {
    return find(parts_, ns, part);
}

std::vector<std::string> ProtectedImages::names_of(const ImageKey& key) const {
    std::vector<std::string> names;
    for_each_placement(
        everything_, [&](const v1::BakedImage& image, const v1::Placement& placement) {
            if (!is_of(key, image, placement)) return;
            names.insert(names.end(), placement.names().begin(), placement.names().end());
        });
    return names;
}

std::string ProtectedImages::target_of(const ImageKey& key) const {
    for (const v1::BakedImage& image : everything_.images()) {
        if (image.name() == key.image) return image.target().digest();
    }
    return {};
}

bool ProtectedImages::wants_pin(std::string_view ns, const std::string& name) const {
    const std::vector<ImageKey> keys = named(ns, name);
    return std::any_of(keys.begin(), keys.end(), [&](const ImageKey& key) {
        if (unpinned_.contains(key)) return false;
        bool is_pinned = false;
        for_each_placement(everything_,
                           [&](const v1::BakedImage& image, const v1::Placement& placement) {
                               is_pinned |= is_of(key, image, placement) && placement.pinned();
                           });
        return is_pinned;
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

void ProtectedImages::load(const google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned) {
    for (const v1::UnpinnedImage& image : unpinned) {
        const ImageKey key{.image = image.name(), .ns = image.namespace_()};
        if (std::find(keys_.begin(), keys_.end(), key) == keys_.end()) continue;
        set_unpinned(key, true);
        set_evicted(key, image.evicted());
    }
    has_changed_ = false;
}

void ProtectedImages::store(google::protobuf::RepeatedPtrField<v1::UnpinnedImage>& unpinned) const {
    for (const ImageKey& key : unpinned_) {
        v1::UnpinnedImage& image = *unpinned.Add();
        image.set_namespace_(key.ns);
        image.set_name(key.image);
        image.set_evicted(evicted_.contains(key));
    }
}

}  // namespace prebake::guard
