#include "agent/ledger/catalog.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace prebake::ledger {
namespace {

bool is_bare_id(std::string_view name) {
    return oci::Digest::try_parse(name).has_value();
}

/// CRI's further names: "repository@sha256:…" and "sha256:…".
bool is_alias_form(std::string_view name) {
    return is_bare_id(name) || name.find('@') != std::string_view::npos;
}

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

}  // namespace

ImageContents summarize(const v1::BakedImage& image) {
    ImageContents contents{.target = image.target().digest(),
                           .manifest = image.manifest().digest(),
                           .config = image.config().digest(),
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

void Catalog::set_record(const v1::BakeRecord& record) {
    std::map<std::string, std::vector<ImagePtr>> before;
    for (auto& [ns, space] : spaces_) {
        space.baked_names.clear();
        before[ns] = std::exchange(space.baked, {});
    }
    for (const v1::BakedImage& entry : record.images()) {
        for (const v1::Placement& placement : entry.placements()) {
            set_baked(spaces_[placement.namespace_()], before[placement.namespace_()], entry,
                      placement);
        }
    }
    other_names_ = 0;
    for (auto& [ns, space] : spaces_) {
        for (const ImagePtr& image : before[ns]) image->is_baked = is_recorded(space, image);
        reindex(space);
        other_names_ += static_cast<std::size_t>(
            std::count_if(space.names.begin(), space.names.end(),
                          [](const auto& entry) { return !entry.second->is_baked; }));
    }
}

bool Catalog::is_recorded(const Space& space, const ImagePtr& image) {
    return std::find(space.baked.begin(), space.baked.end(), image) != space.baked.end();
}

void Catalog::reindex(Space& space) {
    space.chains.clear();
    std::set<const CatalogImage*> done;
    for (const ImagePtr& image : space.baked) {
        if (done.insert(image.get()).second) index(space, *image);
    }
    for (const auto& [name, image] : space.names) {
        if (done.insert(image.get()).second) index(space, *image);
    }
}

void Catalog::set_baked(Space& space, const std::vector<ImagePtr>& before,
                        const v1::BakedImage& entry, const v1::Placement& placement) {
    ImageContents contents = summarize(entry);
    const auto is_it = [&](const ImagePtr& image) {
        return image->name == entry.name() && image->contents->target == contents.target &&
               (!contents.chain || image->contents->chain == contents.chain);
    };
    ImagePtr image;
    const auto known = std::find_if(before.begin(), before.end(), is_it);
    const auto named = space.names.find(entry.name());
    const bool is_new = known == before.end();
    if (!is_new) {
        image = *known;
    } else if (named != space.names.end() && is_it(named->second)) {
        image = named->second;
    } else {
        image = std::make_shared<CatalogImage>(
            CatalogImage{.ns = placement.namespace_(),
                         .name = entry.name(),
                         .contents = std::make_shared<const ImageContents>(std::move(contents))});
    }
    image->is_baked = true;
    space.baked.push_back(image);
    for (const std::string& name : placement.names()) {
        space.baked_names.emplace(name, image);
        if (!is_new) continue;
        const auto place = space.names.find(name);
        if (place == space.names.end()) {
            attach(space, name, image);
        } else if (!is_recorded(space, place->second) &&
                   place->second->contents->target == image->contents->target) {
            detach(space, name);
            attach(space, name, image);
        }
    }
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
    if (!is_recorded(space, image)) unindex(space, *image);
}

CatalogImage* Catalog::find(const std::string& ns, const std::string& name) const {
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return nullptr;
    const auto place = space->second.names.find(name);
    return place == space->second.names.end() ? nullptr : place->second.get();
}

CatalogImage* Catalog::find_or_baked(const std::string& ns, const std::string& name) const {
    if (CatalogImage* image = find(ns, name)) return image;
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return nullptr;
    const auto place = space->second.baked_names.find(name);
    return place == space->second.baked_names.end() ? nullptr : place->second.get();
}

Catalog::ImagePtr Catalog::owner_of(const Space& space, const std::string& name,
                                    const ImageContents& contents) {
    const auto baked = space.baked_names.find(name);
    if (baked != space.baked_names.end() && baked->second->contents->target == contents.target) {
        return baked->second;
    }
    if (!is_alias_form(name)) return nullptr;
    for (const auto& [other, image] : space.names) {
        if (image->contents->target != contents.target || is_alias_form(image->name)) continue;
        if (is_bare_id(name) || repository_of(name) == repository_of(image->name)) return image;
    }
    // Pulled by digest: the id comes after the digest's name.
    for (const auto& [other, image] : space.names) {
        if (is_bare_id(name) && image->contents->target == contents.target) return image;
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
        if (!is_understood(*image.contents)) {  // baked without being unpacked: now it has chains
            unindex(space, image);
            image.contents = std::make_shared<const ImageContents>(std::move(contents));
            index(space, image);
        }
        return {.image = image, .was_there = true};
    }
    if (has_name) remove(ns, name);
    ImagePtr image = owner_of(space, name, contents);
    const bool is_alias =
        image != nullptr && !has_name && image->names_present > 0 && is_alias_form(name);
    if (image == nullptr) {
        image = std::make_shared<CatalogImage>(
            CatalogImage{.ns = ns,
                         .name = name,
                         .contents = std::make_shared<const ImageContents>(std::move(contents))});
        index(space, *image);
    }
    if (!is_alias && !image->is_baked) image->appeared = next_++;
    attach(space, name, image);
    if (!image->is_baked && ++other_names_ > kMaxKnownNames) forget_oldest();
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

void Catalog::forget_oldest() {
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
    for (const auto& [name, image] : space.baked_names) {
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

void Catalog::count_as_baked(CatalogImage& image) {
    if (image.is_baked) return;
    image.is_baked = true;
    image.reason.clear();
    other_names_ -= image.names_present;
}

Catalog::Standing Catalog::stand_on(const std::string& ns, const oci::Digest& chain) const {
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return {};
    const auto use = space->second.chains.find(chain);
    if (use == space->second.chains.end()) return {};
    const auto rank = [](const CatalogImage* image) {
        return std::tuple(image->names_present > 0, image->is_baked, image->appeared);
    };
    // The first of equals: of two baked ones, that of the record's beginning.
    CatalogImage* best = nullptr;
    for (CatalogImage* image : use->second.tops) {
        if (best == nullptr || rank(image) > rank(best)) best = image;
    }
    return {.image = best, .is_known = true};
}

std::vector<CatalogImage*> Catalog::images(const std::string& ns) const {
    const auto found = spaces_.find(ns);
    if (found == spaces_.end()) return {};
    std::vector<CatalogImage*> images;
    for (const auto& [name, image] : found->second.names) images.push_back(image.get());
    for (const ImagePtr& image : found->second.baked) images.push_back(image.get());
    std::sort(images.begin(), images.end(), [](const CatalogImage* one, const CatalogImage* other) {
        return std::tuple(one->is_baked, one->appeared, one) <
               std::tuple(other->is_baked, other->appeared, other);
    });
    images.erase(std::unique(images.begin(), images.end()), images.end());
    return images;
}

std::vector<const CatalogImage*> Catalog::baked() const {
    std::vector<const CatalogImage*> images;
    for (const auto& [ns, space] : spaces_) {
        for (const ImagePtr& image : space.baked) images.push_back(image.get());
    }
    return images;
}

PullFacts Catalog::facts_of(const CatalogImage& image, const std::string& name) const {
    PullFacts facts{.name = name,
                    .is_baked = image.is_baked,
                    .has_lost_parts = image.has_lost_name,
                    .was_chain_missing = image.is_chain_missing};
    for (const auto& [ns, space] : spaces_) {
        const bool is_here = ns == image.ns;
        const bool has_name = space.baked_names.contains(name);
        const bool has_image =
            std::any_of(space.baked.begin(), space.baked.end(), [&](const ImagePtr& baked) {
                return is_same_image(*baked->contents, *image.contents);
            });
        facts.is_baked_name |= is_here && has_name;
        facts.is_baked_here |= is_here && has_image;
        facts.is_baked_elsewhere |= !is_here && (has_name || has_image);
    }
    return facts;
}

}  // namespace prebake::ledger
