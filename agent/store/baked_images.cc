#include "agent/store/baked_images.h"

#include <algorithm>
#include <iterator>

#include "agent/base/error.h"
#include "agent/oci/platform.h"
#include "agent/store/names.h"

namespace prebake::store {

bool runs_here(const std::string& platform) {
    static const std::vector<oci::Platform> runnable = oci::runnable_on(oci::Platform::host());
    if (platform.empty()) return true;
    try {
        return std::ranges::find(runnable, oci::Platform::parse(platform)) != runnable.end();
    } catch (const Error&) {
        return true;
    }
}

ImageKey key_of(const v1::BakedImage& image, const v1::Placement& placement) {
    return {.image = image.name(), .ns = placement.namespace_(), .platform = image.platform()};
}

BakedImages::BakedImages(v1::BakeRecord record, SandboxImage sandbox)
    : record_(std::move(record)), sandbox_(std::move(sandbox)) {
    for (const v1::BakedImage& image : record_.images()) add(image, true);
    if (sandbox_key()) sandbox_.found.reset();
    if (sandbox_.found) add(*sandbox_.found, false);
}

void BakedImages::add(const v1::BakedImage& image, bool is_recorded) {
    for (const v1::Placement& placement : image.placements()) {
        images_.push_back({.key = key_of(image, placement),
                           .image = image,
                           .placement = placement,
                           .position = images_.size(),
                           .is_recorded = is_recorded,
                           .runs_here = store::runs_here(image.platform())});
        index(images_.back());
    }
}

void BakedImages::index(const PlacedImage& placed) {
    const std::string_view ns = placed.placement.namespace_();
    const auto add_part = [&](std::string_view part) {
        if (!part.empty()) parts_.emplace(std::pair(ns, part), placed.position);
    };
    for (const std::string_view name : placed.placement.names()) {
        names_.emplace(std::pair(ns, name), placed.position);
    }
    for (const v1::Document& document : placed.image.indexes()) add_part(document.digest());
    add_part(placed.image.manifest().digest());
    add_part(placed.image.config().digest());
    const bool are_layers_kept = placed.placement.layers_kept();
    for (const v1::Layer& layer : placed.image.layers()) {
        if (are_layers_kept) add_part(layer.digest());
        // The blob and the chain of a single uncompressed layer have one digest.
        if (layer.chain_id() != layer.digest() || !are_layers_kept) add_part(layer.chain_id());
    }
}

std::optional<ImageKey> BakedImages::sandbox_key() const {
    if (sandbox_.name.empty()) return {};
    const PlacedImage* const placed = first_named(kCriNamespace, sandbox_.name);
    return placed == nullptr ? std::nullopt : std::optional(placed->key);
}

bool BakedImages::contains(const ImageKey& key) const {
    return std::any_of(images_.begin(), images_.end(),
                       [&](const PlacedImage& placed) { return placed.key == key; });
}

bool BakedImages::is_recorded(std::string_view image) const {
    return std::any_of(record_.images().begin(), record_.images().end(),
                       [&](const v1::BakedImage& recorded) { return recorded.name() == image; });
}

std::vector<ImageKey> BakedImages::keys_at(const Index& index, std::string_view ns,
                                           std::string_view subject) const {
    std::vector<ImageKey> keys;
    const auto [first, last] = index.equal_range(std::pair(ns, subject));
    std::transform(first, last, std::back_inserter(keys),
                   [&](const auto& entry) { return images_[entry.second].key; });
    return keys;
}

std::vector<ImageKey> BakedImages::named(std::string_view ns, std::string_view name) const {
    return keys_at(names_, ns, name);
}

const PlacedImage* BakedImages::first_named(std::string_view ns, std::string_view name) const {
    // A multimap keeps equal keys in the order of their insertion.
    const auto [first, last] = names_.equal_range(std::pair(ns, name));
    if (first == last) return nullptr;
    const auto best = std::find_if(
        first, last, [&](const auto& entry) { return images_[entry.second].runs_here; });
    return &images_[(best == last ? first : best)->second];
}

std::vector<ImageKey> BakedImages::made_of(std::string_view ns, std::string_view part) const {
    return keys_at(parts_, ns, part);
}

std::vector<std::string> BakedImages::names_of(const ImageKey& key) const {
    std::vector<std::string> names;
    for (const PlacedImage& placed : images_) {
        if (placed.key != key) continue;
        names.insert(names.end(), placed.placement.names().begin(), placed.placement.names().end());
    }
    return names;
}

std::string BakedImages::target_of(const ImageKey& key) const {
    const auto placed = std::find_if(images_.begin(), images_.end(), [&](const PlacedImage& other) {
        return other.key.image == key.image && other.key.platform == key.platform;
    });
    return placed == images_.end() ? std::string() : placed->image.target().digest();
}

}  // namespace prebake::store
