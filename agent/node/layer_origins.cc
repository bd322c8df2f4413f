#include "agent/node/layer_origins.h"

#include <algorithm>
#include <utility>

namespace prebake::node {

void LayerOrigins::open(Time uncounted_since, Time untouched_until) {
    uncounted_since_ = uncounted_since;
    untouched_until_ = untouched_until;
}

void LayerOrigins::forget_pulls() {
    counted_pulls_.clear();
    pulled_anywhere_.clear();
    known_pulled_.clear();
    for (auto& [ns, space] : spaces_) space.pulled.clear();
}

void LayerOrigins::load_pulled(const v1::Ledger& stored) {
    for (const v1::PulledLayer& layer : stored.pulled_layers()) {
        const std::optional<DigestKey> digest = parse_digest(layer.digest());
        if (!digest) continue;
        spaces_[layer.namespace_()].pulled.insert(*digest);
        pulled_anywhere_.insert(*digest);
        known_pulled_.insert(*digest);
    }
}

void LayerOrigins::store_pulled(v1::Ledger& out) const {
    for (const auto& [ns, space] : spaces_) {
        for (const DigestKey& digest : space.pulled) {
            v1::PulledLayer& layer = *out.add_pulled_layers();
            layer.set_namespace_(ns);
            layer.set_digest(to_text(digest));
        }
    }
}

void LayerOrigins::set_record(const v1::BakeRecord& record) {
    const DigestMap<BakedLayer> before = std::exchange(baked_, {});
    for (auto& [ns, space] : spaces_) space.baked_chains.clear();
    for (const v1::BakedImage& image : record.images()) {
        const Time baked_at = to_time(image.baked_at());
        const bool is_kept =
            std::any_of(image.placements().begin(), image.placements().end(),
                        [](const v1::Placement& placement) { return placement.layers_kept(); });
        for (const ImageLayer& layer : summarize(image).layers) {
            BakedLayer& baked = baked_[layer.digest];
            baked.baked_at = std::max(baked.baked_at, baked_at);
            baked.is_kept |= is_kept;
            if (!layer.chain) continue;
            for (const v1::Placement& placement : image.placements()) {
                spaces_[placement.namespace_()].baked_chains[*layer.chain] = layer.digest;
            }
        }
    }
    // What a bake brought here while we watched was not pulled by anybody else.
    for (const auto& [digest, layer] : baked_) {
        const auto known = before.find(digest);
        const Time looked_at = known == before.end() ? untouched_until_ : known->second.baked_at;
        if (layer.baked_at <= looked_at) continue;
        pulled_anywhere_.erase(digest);
        known_pulled_.erase(digest);
        for (auto& [ns, space] : spaces_) space.pulled.erase(digest);
    }
}

void LayerOrigins::add_baked(const CatalogImage& image) {
    for (const ImageLayer& layer : image.contents->layers) {
        baked_.try_emplace(layer.digest);
        if (layer.chain) spaces_[image.ns].baked_chains[*layer.chain] = layer.digest;
    }
}

bool LayerOrigins::is_there(const DigestKey& digest, const Space* except) const {
    return std::any_of(spaces_.begin(), spaces_.end(), [&](const auto& entry) {
        return &entry.second != except && entry.second.blobs.contains(digest);
    });
}

/// Whether something of a layer was stored by the bake, which may have been in this very boot.
bool LayerOrigins::is_of_bake(const DigestKey& digest, Time at) const {
    const auto baked = baked_.find(digest);
    return baked != baked_.end() && at <= baked->second.baked_at;
}

/// Whether a baked layer was stored too late to be what was baked.
bool LayerOrigins::is_late(const DigestKey& digest, Time at) const {
    const auto baked = baked_.find(digest);
    return baked != baked_.end() && at >= untouched_until_ && !is_of_bake(digest, at);
}

void LayerOrigins::set_pulled(Space& space, const DigestKey& digest) {
    if (!baked_.contains(digest)) return;
    space.pulled.insert(digest);
    pulled_anywhere_.insert(digest);
}

void LayerOrigins::learn_blob(const std::string& ns, const DigestKey& digest, Time stored_at) {
    Space& space = spaces_[ns];
    const auto known = space.blobs.find(digest);
    if (known != space.blobs.end() && known->second.stored_at == stored_at) return;
    const bool was_fresh = known != space.blobs.end() && known->second.is_fresh;
    // containerd takes a blob that another namespace has without fetching it.
    const bool is_elsewhere = is_there(digest, &space);
    const bool is_base_known = space.is_listed || known != space.blobs.end();
    const bool is_new =
        is_base_known || (stored_at >= uncounted_since_ && !is_of_bake(digest, stored_at));
    space.blobs[digest] = {.stored_at = stored_at,
                           .is_fresh = was_fresh || (is_new && !is_elsewhere)};
    if (is_base_known) return;
    if (is_late(digest, stored_at)) {
        if (!is_elsewhere) set_pulled(space, digest);
    } else if (!known_pulled_.contains(digest) && pulled_anywhere_.erase(digest) > 0) {
        // The baked blob was here all the time: who stored it later got it from here.
        for (auto& [other, its] : spaces_) its.pulled.erase(digest);
    }
}

void LayerOrigins::forget_blob(const std::string& ns, const DigestKey& digest) {
    const auto space = spaces_.find(ns);
    if (space == spaces_.end() || space->second.blobs.erase(digest) == 0) return;
    const auto baked = baked_.find(digest);
    if (baked != baked_.end() && baked->second.is_kept) space->second.lost.insert(digest);
}

/// A snapshot that was made of a blob that was kept is none of a pull.
bool LayerOrigins::is_fresh_chain(const Space& space, const DigestKey& chain) const {
    const auto baked = space.baked_chains.find(chain);
    return baked == space.baked_chains.end() || !is_there(baked->second);
}

void LayerOrigins::learn_commit(const std::string& ns, const DigestKey& chain,
                                Committer committer) {
    Space& space = spaces_[ns];
    if (committer == Committer::prebake) {
        space.chains[chain] = false;
        return;
    }
    const bool is_fresh = is_fresh_chain(space, chain);
    space.chains[chain] = is_fresh;
    const auto baked = space.baked_chains.find(chain);
    if (baked == space.baked_chains.end()) return;
    if (is_fresh || pulled_anywhere_.contains(baked->second)) set_pulled(space, baked->second);
}

void LayerOrigins::learn_chain(Space& space, const DigestKey& chain, Time made_at) {
    const auto [known, is_new] = space.chains.try_emplace(chain, false);
    if (!is_new) return;
    const auto baked = space.baked_chains.find(chain);
    const bool is_of_its_bake =
        baked != space.baked_chains.end() && is_of_bake(baked->second, made_at);
    const bool is_since = made_at >= uncounted_since_ && !is_of_its_bake;
    known->second = (space.is_listed || is_since) && is_fresh_chain(space, chain);
    if (space.is_listed) return;
    if (baked == space.baked_chains.end()) return;
    if (is_late(baked->second, made_at) && !is_there(baked->second)) {
        set_pulled(space, baked->second);
    }
}

void LayerOrigins::forget_chain(const std::string& ns, const DigestKey& chain) {
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return;
    space->second.chains.erase(chain);
    if (space->second.baked_chains.contains(chain)) space->second.lost.insert(chain);
}

void LayerOrigins::learn_all(const bake::Holdings& holdings) {
    Space& space = spaces_[holdings.ns];
    DigestSet there;
    for (const auto& [text, blob] : holdings.blobs) {
        const std::optional<DigestKey> digest = parse_digest(text);
        if (!digest) continue;
        there.insert(*digest);
        learn_blob(holdings.ns, *digest, blob.created_at);
    }
    std::vector<DigestKey> gone;
    for (const auto& [digest, blob] : space.blobs) {
        if (!there.contains(digest)) gone.push_back(digest);
    }
    for (const DigestKey& digest : gone) forget_blob(holdings.ns, digest);
    if (holdings.snapshotter.empty()) return;
    there.clear();
    for (const auto& [text, snapshot] : holdings.snapshots) {
        const std::optional<DigestKey> chain = parse_digest(text);
        if (!chain) continue;
        there.insert(*chain);
        learn_chain(space, *chain, snapshot.created_at);
    }
    std::erase_if(space.chains, [&](const auto& entry) { return !there.contains(entry.first); });
    space.is_listed = true;
}

void LayerOrigins::restored(const bake::Holdings& holdings) {
    Space& space = spaces_[holdings.ns];
    for (const auto& [text, blob] : holdings.blobs) {
        const std::optional<DigestKey> digest = parse_digest(text);
        if (!digest || !baked_.contains(*digest)) continue;
        space.blobs[*digest] = {.stored_at = blob.created_at};
        space.lost.erase(*digest);
    }
    for (const auto& [text, snapshot] : holdings.snapshots) {
        const std::optional<DigestKey> chain = parse_digest(text);
        if (!chain || !space.baked_chains.contains(*chain)) continue;
        space.chains[*chain] = false;
        space.lost.erase(*chain);
    }
}

bool LayerOrigins::has_chain(const std::string& ns, const DigestKey& chain) const {
    const auto space = spaces_.find(ns);
    return space != spaces_.end() && space->second.chains.contains(chain);
}

bool LayerOrigins::is_baked(const std::string& ns, const ImageLayer& layer) const {
    const auto space = spaces_.find(ns);
    if (space != spaces_.end()) {
        if (space->second.pulled.contains(layer.digest)) return false;
        if (layer.chain && space->second.baked_chains.contains(*layer.chain)) return true;
    }
    const auto baked = baked_.find(layer.digest);
    return baked != baked_.end() && baked->second.is_kept &&
           !pulled_anywhere_.contains(layer.digest);
}

LayerOrigins::Pulled LayerOrigins::take_pulled(const CatalogImage& image) {
    Space& space = spaces_[image.ns];
    Pulled pulled;
    for (const ImageLayer& layer : image.contents->layers) {
        const auto chain = layer.chain ? space.chains.find(*layer.chain) : space.chains.end();
        const bool is_made = chain != space.chains.end() && std::exchange(chain->second, false);
        const auto blob = space.blobs.find(layer.digest);
        // Layers are dropped after unpacking where containerd is told so (discard_unpacked_layers):
        // then the new snapshot is all that tells of the pull.
        const bool is_pulled = blob == space.blobs.end()
                                   ? is_made && !is_there(layer.digest)
                                   : std::exchange(blob->second.is_fresh, false);
        if (!is_pulled) continue;
        pulled.any = true;
        set_pulled(space, layer.digest);
        if (counted_pulls_.contains(layer.digest)) continue;
        if (counted_pulls_.size() < kMaxCountedPulls) counted_pulls_.insert(layer.digest);
        pulled.bytes += layer.size;
    }
    return pulled;
}

void LayerOrigins::note_counted(const CatalogImage& image) {
    const Space& space = spaces_[image.ns];
    for (const ImageLayer& layer : image.contents->layers) {
        const auto blob = space.blobs.find(layer.digest);
        const auto chain = layer.chain ? space.chains.find(*layer.chain) : space.chains.end();
        const bool is_to_be_settled = (blob != space.blobs.end() && blob->second.is_fresh) ||
                                      (chain != space.chains.end() && chain->second);
        if (is_to_be_settled || is_baked(image.ns, layer)) continue;
        if (counted_pulls_.size() < kMaxCountedPulls) counted_pulls_.insert(layer.digest);
    }
}

bool LayerOrigins::has_lost(const CatalogImage& image) const {
    const auto space = spaces_.find(image.ns);
    if (space == spaces_.end() || space->second.lost.empty()) return false;
    const DigestSet& lost = space->second.lost;
    return std::any_of(
        image.contents->layers.begin(), image.contents->layers.end(), [&](const ImageLayer& layer) {
            return lost.contains(layer.digest) || (layer.chain && lost.contains(*layer.chain));
        });
}

void LayerOrigins::forget_lost(const CatalogImage& image) {
    Space& space = spaces_[image.ns];
    for (const ImageLayer& layer : image.contents->layers) {
        space.lost.erase(layer.digest);
        if (layer.chain) space.lost.erase(*layer.chain);
    }
}

}  // namespace prebake::node
