#include "agent/ledger/catalog.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include "agent/store/names.h"

namespace prebake::ledger {
namespace {

std::string_view repository_of(std::string_view name) {
    const std::size_t at = name.find('@');
    if (at != std::string_view::npos) return name.substr(0, at);
    const std::size_t slash = name.rfind('/');
    const std::size_t colon = name.rfind(':');
    const bool has_tag =
        colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash);
    return has_tag ? name.substr(0, colon) : name;
}

bool is_same_image(const ImageContents& one, const ImageContents& other) {
    return (!one.manifest.empty() && one.manifest == other.manifest) ||
           (!one.config.empty() && one.config == other.config);
}

bool is_understood(const ImageContents& contents) {
    return contents.chain.has_value() || contents.layers.empty();
}

/// Images that are not recorded come last.
std::size_t place_in_record(const CatalogImage& image) {
    return image.position.value_or(std::numeric_limits<std::size_t>::max());
}

/// Whether a name of `known` belongs to the recorded image instead: it was not recorded, or it is
/// for another platform than this machine's.
bool is_replaceable(const CatalogImage& known, const CatalogImage& recorded) {
    if (known.contents->target != recorded.contents->target) return false;
    return !known.position ||
           (!store::runs_here(known.key.platform) && store::runs_here(recorded.key.platform));
}

}  // namespace

ImageContents summarize(const v1::BakedImage& image) {
    ImageContents contents{.target = image.target().digest(),
                           .manifest = image.manifest().digest(),
                           .config = image.config().digest(),
                           .platform = image.platform(),
                           .chain = oci::Digest::try_parse(image.chain_id()),
                           .layers = {}};
    contents.layers.reserve(static_cast<std::size_t>(image.layers_size()));
    for (const v1::Layer& layer : image.layers()) {
        const std::optional<oci::Digest> digest = oci::Digest::try_parse(layer.digest());
        if (!digest) continue;
        contents.layers.push_back({.digest = *digest,
                                   .chain = oci::Digest::try_parse(layer.chain_id()),
                                   .size = layer.size()});
        contents.bytes += layer.size();
    }
    return contents;
}

void Catalog::set_baked(std::shared_ptr<const store::BakedImages> baked) {
    baked_ = std::move(baked);
    const std::vector<ImagePtr> before = std::exchange(recorded_, {});
    for (const ImagePtr& image : before) image->position.reset();
    for (const store::PlacedImage& placed : baked_->images()) {
        if (placed.is_recorded) add_recorded(placed, before);
    }
    for (const ImagePtr& image : before) image->is_baked = image->position.has_value();
    other_names_ = 0;
    for (auto& [ns, space] : spaces_) {
        reindex(ns, space);
        other_names_ += static_cast<std::size_t>(
            std::count_if(space.names.begin(), space.names.end(),
                          [](const auto& entry) { return !entry.second->is_baked; }));
    }
}

void Catalog::add_recorded(const store::PlacedImage& placed, const std::vector<ImagePtr>& before) {
    Space& space = spaces_[placed.key.ns];
    ImageContents contents = summarize(placed.image);
    const auto is_it = [&](const ImagePtr& image) {
        return !image->position && image->key == placed.key &&
               image->contents->target == contents.target &&
               (!contents.chain || image->contents->chain == contents.chain);
    };
    ImagePtr image;
    const auto known = std::find_if(before.begin(), before.end(), is_it);
    const auto named = space.names.find(placed.key.image);
    const bool is_new = known == before.end();
    if (!is_new) {
        image = *known;
    } else if (named != space.names.end() && is_it(named->second)) {
        image = named->second;
    } else {
        image = std::make_shared<CatalogImage>(
            CatalogImage{.key = placed.key,
                         .contents = std::make_shared<const ImageContents>(std::move(contents)),
                         .position = {}});
    }
    image->is_baked = true;
    image->position = placed.position;
    recorded_.push_back(image);
    if (!is_new) return;
    image->reason.clear();  // it looked like a pull until now
    for (const std::string& name : placed.placement.names()) {
        const auto place = space.names.find(name);
        if (place == space.names.end()) {
            attach(space, name, image);
        } else if (is_replaceable(*place->second, *image)) {
            detach(space, name);
            attach(space, name, image);
        }
    }
}

Catalog::ImagePtr Catalog::recorded_of(std::string_view ns, std::string_view name) const {
    const store::PlacedImage* const placed = baked_->first_named(ns, name);
    return placed == nullptr || !placed->is_recorded ? nullptr : recorded_[placed->position];
}

void Catalog::reindex(const std::string& ns, Space& space) {
    space.chains.clear();
    for (CatalogImage* image : images(ns)) index(space, *image);
}

void Catalog::index(Space& space, CatalogImage& image) {
    for (const ImageLayer& layer : image.contents->layers) {
        if (layer.chain) ++space.chains[*layer.chain].layers;
    }
    if (image.contents->chain) space.chains[*image.contents->chain].tops.push_back(&image);
}

void Catalog::unindex(Space& space, const CatalogImage& image) {
    if (image.contents->chain) {
        std::vector<CatalogImage*>& tops = space.chains[*image.contents->chain].tops;
        tops.erase(std::remove(tops.begin(), tops.end(), &image), tops.end());
    }
    for (const ImageLayer& layer : image.contents->layers) {
        if (!layer.chain) continue;
        const auto use = space.chains.find(*layer.chain);
        if (use == space.chains.end()) continue;
        if (use->second.layers > 0) --use->second.layers;
        if (use->second.layers == 0 && use->second.tops.empty()) space.chains.erase(use);
    }
}

void Catalog::attach(Space& space, const std::string& name, const ImagePtr& image) {
    space.names[name] = image;
    ++image->names_present;
}

void Catalog::detach(Space& space, const std::string& name) {
    const auto place = space.names.find(name);
    if (place == space.names.end()) return;
    const ImagePtr image = place->second;
    space.names.erase(place);
    if (--image->names_present > 0) return;
    if (!image->position) unindex(space, *image);
}

CatalogImage* Catalog::find(const std::string& ns, const std::string& name) const {
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return nullptr;
    const auto place = space->second.names.find(name);
    return place == space->second.names.end() ? nullptr : place->second.get();
}

CatalogImage* Catalog::find_or_recorded(const std::string& ns, const std::string& name) const {
    CatalogImage* const image = find(ns, name);
    return image != nullptr ? image : recorded_of(ns, name).get();
}

Catalog::ImagePtr Catalog::owner_of(const std::string& ns, const Space& space,
                                    const std::string& name, const ImageContents& contents) const {
    ImagePtr recorded = recorded_of(ns, name);
    if (recorded != nullptr && recorded->contents->target == contents.target) return recorded;
    if (!store::is_name_by_digest(name)) return nullptr;
    for (const auto& [other, image] : space.names) {
        const std::string& own_name = image->key.image;
        if (image->contents->target != contents.target || store::is_name_by_digest(own_name))
            continue;
        if (store::is_image_id(name) || repository_of(name) == repository_of(own_name))
            return image;
    }
    // An image that was pulled by digest has no tag: its id belongs to the name with the digest.
    for (const auto& [other, image] : space.names) {
        if (store::is_image_id(name) && image->contents->target == contents.target) return image;
    }
    return nullptr;
}

Catalog::Placed Catalog::place(const std::string& ns, const std::string& name,
                               ImageContents contents) {
    Space& space = spaces_[ns];
    const auto place = space.names.find(name);
    const bool has_name = place != space.names.end();
    if (has_name && place->second->contents->target == contents.target) {
        CatalogImage& image = *place->second;
        if (!is_understood(*image.contents)) {  // baked, and unpacked only later
            unindex(space, image);
            image.contents = std::make_shared<const ImageContents>(std::move(contents));
            index(space, image);
        }
        return {.image = image, .was_there = true};
    }
    if (has_name) remove(ns, name);
    ImagePtr image = owner_of(ns, space, name, contents);
    // An ID that moves between manifests with one config is an alias of both.
    const bool is_new_name = !has_name || store::is_image_id(name);
    const bool is_alias = image != nullptr && is_new_name && image->names_present > 0 &&
                          store::is_name_by_digest(name);
    if (image == nullptr) {
        image = std::make_shared<CatalogImage>(
            CatalogImage{.key = {.image = name, .ns = ns, .platform = contents.platform},
                         .contents = std::make_shared<const ImageContents>(std::move(contents)),
                         .position = {}});
        index(space, *image);
    }
    if (!is_alias && !image->is_baked) image->appeared = next_++;
    attach(space, name, image);
    if (!image->is_baked && ++other_names_ > kMaxKnownNames) drop_oldest_name();
    return {.image = *image, .was_there = false, .is_alias = is_alias};
}

void Catalog::remove(const std::string& ns, const std::string& name) {
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return;
    const auto place = space->second.names.find(name);
    if (place == space->second.names.end()) return;
    if (!place->second->is_baked) --other_names_;
    detach(space->second, name);
}

void Catalog::drop_oldest_name() {
    Space* where = nullptr;
    std::uint64_t oldest = next_;
    std::string name;
    for (auto& [ns, space] : spaces_) {
        for (const auto& [candidate, image] : space.names) {
            if (image->is_baked || image->appeared >= oldest) continue;
            oldest = image->appeared;
            where = &space;
            name = candidate;
        }
    }
    if (where == nullptr) return;
    --other_names_;
    detach(*where, name);
}

std::vector<std::string> Catalog::names_missing_in(const store::Holdings& holdings) const {
    std::vector<std::string> missing;
    const auto space = spaces_.find(holdings.ns);
    if (space == spaces_.end()) return missing;
    for (const auto& [name, image] : space->second.names) {
        if (!holdings.images.contains(name)) missing.push_back(name);
    }
    return missing;
}

void Catalog::restore(const store::Holdings& holdings) {
    const auto found = spaces_.find(holdings.ns);
    if (found == spaces_.end()) return;
    Space& space = found->second;
    for (const store::PlacedImage& placed : baked_->images()) {
        if (!placed.is_recorded || placed.key.ns != holdings.ns) continue;
        for (const std::string& name : placed.placement.names()) {
            const ImagePtr image = recorded_of(holdings.ns, name);
            const auto there = holdings.images.find(name);
            if (there == holdings.images.end() ||
                there->second.target.digest.str() != image->contents->target) {
                continue;
            }
            const CatalogImage* owner = find(holdings.ns, name);
            if (owner != nullptr && owner->contents->target == image->contents->target) continue;
            remove(holdings.ns, name);
            attach(space, name, image);
        }
    }
}

void Catalog::count_as_baked(CatalogImage& image) {
    if (image.is_baked) return;
    image.is_baked = true;
    image.reason.clear();
    other_names_ -= image.names_present;
}

Catalog::ChainOwner Catalog::owner_of_chain(const std::string& ns, const oci::Digest& chain,
                                            const std::string& name) const {
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return {};
    const auto use = space->second.chains.find(chain);
    if (use == space->second.chains.end()) return {};
    CatalogImage* const named = find(ns, name);
    const bool is_named = named != nullptr && named->contents->chain == chain;
    if (is_named && named->is_baked) return {.image = named, .is_known = true};
    const auto rank = [](const CatalogImage* image) {
        return std::tuple(image->names_present > 0, image->is_baked, image->appeared);
    };
    const auto is_better = [&](const CatalogImage* one, const CatalogImage* other) {
        if (rank(one) != rank(other)) return rank(one) > rank(other);
        return place_in_record(*one) < place_in_record(*other);
    };
    // A baked image that was pulled under another name is still the baked one.
    const auto may_be = [&](const CatalogImage* image) {
        return !is_named || image == named ||
               (image->is_baked && is_same_image(*image->contents, *named->contents));
    };
    CatalogImage* best = nullptr;
    for (CatalogImage* image : use->second.tops) {
        if (may_be(image) && (best == nullptr || is_better(image, best))) best = image;
    }
    return {.image = best, .is_known = true};
}

std::vector<CatalogImage*> Catalog::images(const std::string& ns) const {
    std::vector<CatalogImage*> images;
    std::set<const CatalogImage*> seen;
    const auto add = [&](const ImagePtr& image) {
        if (seen.insert(image.get()).second) images.push_back(image.get());
    };
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return images;
    for (const auto& [name, image] : space->second.names) add(image);
    for (const ImagePtr& image : recorded_) {
        if (image->key.ns == ns) add(image);
    }
    const auto rank = [](const CatalogImage* image) {
        return std::tuple(image->is_baked, place_in_record(*image), image->appeared);
    };
    std::stable_sort(images.begin(), images.end(),
                     [&](const auto* one, const auto* other) { return rank(one) < rank(other); });
    return images;
}

std::vector<const CatalogImage*> Catalog::recorded() const {
    std::vector<const CatalogImage*> images;
    images.reserve(recorded_.size());
    for (const ImagePtr& image : recorded_) images.push_back(image.get());
    std::stable_sort(images.begin(), images.end(), [](const auto* one, const auto* other) {
        return one->key.ns < other->key.ns;
    });
    return images;
}

PullFacts Catalog::facts_of(const CatalogImage& image, const std::string& name) const {
    PullFacts facts{.name = name,
                    .is_baked = image.is_baked,
                    .has_lost_parts = image.has_lost_name,
                    .was_chain_missing = image.is_chain_missing};
    for (const store::PlacedImage& placed : baked_->images()) {
        if (!placed.is_recorded) continue;
        const auto& names = placed.placement.names();
        const bool is_here = placed.key.ns == image.key.ns;
        const bool has_name = std::find(names.begin(), names.end(), name) != names.end();
        const bool has_image =
            is_same_image(*recorded_[placed.position]->contents, *image.contents);
        facts.is_baked_name |= is_here && has_name;
        facts.is_baked_here |= is_here && has_image;
        facts.is_baked_elsewhere |= !is_here && (has_name || has_image);
    }
    return facts;
}

}  // namespace prebake::ledger
