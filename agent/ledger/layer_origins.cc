#include "agent/ledger/layer_origins.h"

#include <algorithm>
#include <utility>

namespace prebake::ledger {

void LayerOrigins::open(Time uncounted_since, Time looked_until) {
    uncounted_since_ = uncounted_since;
    looked_until_ = looked_until;
    is_all_listed_ = false;
}

void LayerOrigins::forget_pulls() {
    counted_pulls_.clear();
    counted_chains_.clear();
    pulled_anywhere_.clear();
    known_pulled_.clear();
    settled_.clear();
    for (auto& [ns, space] : spaces_) space.pulled.clear();
}

void LayerOrigins::load(const v1::LedgerState& stored) {
    for (const v1::PulledLayer& layer : stored.pulled_layers()) {
        const std::optional<oci::Digest> digest = oci::Digest::try_parse(layer.digest());
        if (!digest) continue;
        spaces_[layer.namespace_()].pulled.insert(*digest);
        pulled_anywhere_.insert(*digest);
        known_pulled_.insert(*digest);
    }
    for (const v1::SettledPart& part : stored.settled()) {
        const std::optional<oci::Digest> digest = oci::Digest::try_parse(part.digest());
        if (digest) settled_[*digest] = to_time(part.stored_at());
    }
}

void LayerOrigins::store(v1::LedgerState& out, Time looked_until) const {
    for (const auto& [ns, space] : spaces_) {
        for (const oci::Digest& digest : space.pulled) {
            v1::PulledLayer& layer = *out.add_pulled_layers();
            layer.set_namespace_(ns);
            layer.set_digest(digest.str());
        }
    }
    Time since = uncounted_since_;
    if (is_all_listed_) {
        // A running pull may have stored parts: it creates the image's name last.
        const Time of_pulls = looked_until - kLongestPull;
        since = since > looked_until ? of_pulls : std::max(since, of_pulls);  // a clock set back
    }
    Parts parts = settled_since(since);
    if (parts.size() > kMaxSettledParts) {
        since = parts[kMaxSettledParts].first + Time::duration(1);
        parts.erase(parts.begin() + kMaxSettledParts, parts.end());
    }
    *out.mutable_uncounted_since() = to_timestamp(since);
    for (const auto& [stored_at, digest] : parts) {
        v1::SettledPart& part = *out.add_settled();
        part.set_digest(digest.str());
        *part.mutable_stored_at() = to_timestamp(stored_at);
    }
}

/// The latest first; without the parts of a bake, which the record has.
LayerOrigins::Parts LayerOrigins::settled_since(Time since) const {
    oci::DigestMap<Time> settled;
    const auto add = [&](const oci::Digest& part, Time stored_at) {
        if (stored_at < since) return;
        Time& latest = settled.try_emplace(part, stored_at).first->second;
        latest = std::max(latest, stored_at);
    };
    for (const auto& [part, stored_at] : settled_) add(part, stored_at);
    for (const auto& [ns, space] : spaces_) {
        for (const auto& [digest, blob] : space.blobs) {
            if (!blob.is_fresh && !is_of_bake(digest, blob.stored_at)) add(digest, blob.stored_at);
        }
        for (const auto& [digest, chain] : space.chains) {
            if (chain.is_fresh || is_chain_of_bake(space, digest, chain.made_at)) continue;
            add(digest, chain.made_at);
        }
    }
    Parts parts;
    parts.reserve(settled.size());
    for (const auto& [part, stored_at] : settled) parts.emplace_back(stored_at, part);
    std::sort(parts.rbegin(), parts.rend());
    return parts;
}

void LayerOrigins::set_baked(const store::BakedImages& baked) {
    const oci::DigestMap<BakedLayer> before = std::exchange(baked_, {});
    for (auto& [ns, space] : spaces_) space.baked_chains.clear();
    for (const store::PlacedImage& placed : baked.images()) {
        if (!placed.is_recorded) continue;
        Space& space = spaces_[placed.key.ns];
        for (const ImageLayer& layer : summarize(placed.image).layers) {
            BakedLayer& known = baked_[layer.digest];
            known.baked_at = std::max(known.baked_at, to_time(placed.image.baked_at()));
            known.is_kept |= placed.placement.layers_kept();
            if (layer.chain) space.baked_chains.insert_or_assign(*layer.chain, layer.digest);
        }
    }
    // A bake stored these layers while the daemon ran: nobody pulled them.
    for (const auto& [digest, layer] : baked_) {
        const auto known = before.find(digest);
        const Time looked_at = known == before.end() ? looked_until_ : known->second.baked_at;
        if (layer.baked_at <= looked_at) continue;
        pulled_anywhere_.erase(digest);
        known_pulled_.erase(digest);
        for (auto& [ns, space] : spaces_) space.pulled.erase(digest);
    }
}

void LayerOrigins::add_baked(const CatalogImage& image) {
    for (const ImageLayer& layer : image.contents->layers) {
        baked_.try_emplace(layer.digest);
        if (layer.chain)
            spaces_[image.key.ns].baked_chains.insert_or_assign(*layer.chain, layer.digest);
    }
}

bool LayerOrigins::is_there(const oci::Digest& digest, const Space* except) const {
    return std::any_of(spaces_.begin(), spaces_.end(), [&](const auto& entry) {
        return &entry.second != except && entry.second.blobs.contains(digest);
    });
}

/// Whether the bake stored this part of the layer. The bake may have run in this boot.
bool LayerOrigins::is_of_bake(const oci::Digest& digest, Time at) const {
    const auto baked = baked_.find(digest);
    return baked != baked_.end() && at <= baked->second.baked_at;
}

bool LayerOrigins::is_chain_of_bake(const Space& space, const oci::Digest& chain, Time at) const {
    const auto baked = space.baked_chains.find(chain);
    return baked != space.baked_chains.end() && is_of_bake(baked->second, at);
}

bool LayerOrigins::was_settled(const oci::Digest& part, Time at) const {
    const auto settled = settled_.find(part);
    return settled != settled_.end() && at <= settled->second;
}

/// Whether a baked layer was stored again, after its bake.
bool LayerOrigins::is_late(const oci::Digest& digest, Time at) const {
    const auto baked = baked_.find(digest);
    return baked != baked_.end() && at >= uncounted_since_ && !is_of_bake(digest, at);
}

void LayerOrigins::set_pulled(Space& space, const oci::Digest& digest) {
    if (!baked_.contains(digest)) return;
    space.pulled.insert(digest);
    pulled_anywhere_.insert(digest);
}

void LayerOrigins::learn_blob(const std::string& ns, const oci::Digest& digest, Time stored_at) {
    Space& space = spaces_[ns];
    const auto known = space.blobs.find(digest);
    if (known != space.blobs.end() && known->second.stored_at == stored_at) return;
    const bool was_fresh = known != space.blobs.end() && known->second.is_fresh;
    // containerd shares a blob that another namespace has; nothing is fetched.
    const bool is_elsewhere = is_there(digest, &space);
    const bool is_base_known = space.is_listed || known != space.blobs.end();
    const bool is_settled = was_settled(digest, stored_at);
    const bool is_new = is_base_known || (stored_at >= uncounted_since_ && !is_settled &&
                                          !is_of_bake(digest, stored_at));
    const bool is_stored_again = known != space.blobs.end() && !is_elsewhere;
    if (is_stored_again) {  // and no event reported the deletion
        const auto counted = counted_pulls_.find(digest);
        if (counted != counted_pulls_.end()) counted->second.has_lost_blob = true;
    }
    space.blobs[digest] = {.stored_at = stored_at,
                           .is_fresh = was_fresh || (is_new && !is_elsewhere)};
    if (is_base_known) return;
    if (!is_settled && is_late(digest, stored_at)) {
        if (!is_elsewhere) set_pulled(space, digest);
    } else if (!known_pulled_.contains(digest) && pulled_anywhere_.erase(digest) > 0) {
        // The baked blob was here all the time, and the later ones are copies of it.
        for (auto& [other, its] : spaces_) its.pulled.erase(digest);
    }
}

void LayerOrigins::forget_blob(const std::string& ns, const oci::Digest& digest, Time at) {
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return;
    const auto known = space->second.blobs.find(digest);
    if (known == space->second.blobs.end() || known->second.stored_at > at) return;
    space->second.blobs.erase(known);
    uncount_if_gone(digest);
    const auto baked = baked_.find(digest);
    if (baked != baked_.end() && baked->second.is_kept) space->second.lost.insert(digest);
}

/// A snapshot that was made from a kept blob does not show a pull. One whose bytes are counted
/// does not either: some clients make it after they have created the image's name.
bool LayerOrigins::is_fresh_chain(const Space& space, const oci::Digest& chain) const {
    if (counted_chains_.contains(chain)) return false;
    const auto baked = space.baked_chains.find(chain);
    return baked == space.baked_chains.end() || !is_there(baked->second);
}

void LayerOrigins::learn_commit(const std::string& ns, const oci::Digest& chain,
                                Committer committer, Time at) {
    Space& space = spaces_[ns];
    if (committer == Committer::prebake) {
        space.chains[chain] = {.made_at = at};
        return;
    }
    const bool is_fresh = is_fresh_chain(space, chain);
    space.chains[chain] = {.made_at = at, .is_fresh = is_fresh};
    const auto baked = space.baked_chains.find(chain);
    if (baked == space.baked_chains.end()) return;
    if (is_fresh || pulled_anywhere_.contains(baked->second)) set_pulled(space, baked->second);
}

void LayerOrigins::learn_chain(Space& space, const oci::Digest& chain, Time made_at) {
    const auto before = space.chains.find(chain);
    if (before != space.chains.end()) {
        if (made_at <= before->second.made_at) return;
        drop_chain(space, chain);  // deleted and made again, and no event reported it
    }
    Chain& known = space.chains[chain] = {.made_at = made_at};
    const bool is_settled = was_settled(chain, made_at);
    const bool is_since =
        made_at >= uncounted_since_ && !is_settled && !is_chain_of_bake(space, chain, made_at);
    known.is_fresh = (space.is_listed || is_since) && is_fresh_chain(space, chain);
    if (space.is_listed) return;
    const auto baked = space.baked_chains.find(chain);
    if (baked == space.baked_chains.end()) return;
    if (!is_settled && is_late(baked->second, made_at) && !is_there(baked->second)) {
        set_pulled(space, baked->second);
    }
}

void LayerOrigins::drop_chain(Space& space, const oci::Digest& chain) {
    space.chains.erase(chain);
    const auto counted = counted_chains_.find(chain);
    if (counted != counted_chains_.end()) uncount_if_gone(oci::Digest(counted->second));
}

void LayerOrigins::forget_chain(const std::string& ns, const oci::Digest& chain, Time at) {
    const auto space = spaces_.find(ns);
    if (space == spaces_.end()) return;
    const auto known = space->second.chains.find(chain);
    if (known != space->second.chains.end() && known->second.made_at > at) return;
    drop_chain(space->second, chain);
    if (space->second.baked_chains.contains(chain)) space->second.lost.insert(chain);
}

void LayerOrigins::learn_all(const store::Holdings& holdings) {
    Space& space = spaces_[holdings.ns];
    oci::DigestSet there;
    for (const auto& [text, blob] : holdings.blobs) {
        const std::optional<oci::Digest> digest = oci::Digest::try_parse(text);
        if (!digest) continue;
        there.insert(*digest);
        learn_blob(holdings.ns, *digest, blob.created_at);
    }
    std::vector<oci::Digest> gone;
    for (const auto& [digest, blob] : space.blobs) {
        if (!there.contains(digest)) gone.push_back(digest);
    }
    for (const oci::Digest& digest : gone) forget_blob(holdings.ns, digest, Time::max());
    if (holdings.snapshotter.empty()) return;
    there.clear();
    for (const auto& [text, snapshot] : holdings.snapshots) {
        const std::optional<oci::Digest> chain = oci::Digest::try_parse(text);
        if (!chain) continue;
        there.insert(*chain);
        learn_chain(space, *chain, snapshot.created_at);
    }
    gone.clear();
    for (const auto& [chain, made] : space.chains) {
        if (!there.contains(chain)) gone.push_back(chain);
    }
    for (const oci::Digest& chain : gone) drop_chain(space, chain);
    space.is_listed = true;
}

void LayerOrigins::restored(const store::Holdings& holdings) {
    Space& space = spaces_[holdings.ns];
    for (const auto& [text, blob] : holdings.blobs) {
        const std::optional<oci::Digest> digest = oci::Digest::try_parse(text);
        if (!digest || !baked_.contains(*digest)) continue;
        // It was adopted from another namespace. If none has it, somebody pulled it meanwhile.
        if (!is_there(*digest, &space)) continue;
        space.blobs[*digest] = {.stored_at = blob.created_at};
        space.lost.erase(*digest);
    }
    for (const auto& [text, snapshot] : holdings.snapshots) {
        const std::optional<oci::Digest> chain = oci::Digest::try_parse(text);
        if (!chain || !space.baked_chains.contains(*chain)) continue;
        space.chains[*chain] = {.made_at = snapshot.created_at};
        space.lost.erase(*chain);
    }
}

bool LayerOrigins::has_chain(const std::string& ns, const oci::Digest& chain) const {
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
    Space& space = spaces_[image.key.ns];
    Pulled pulled;
    for (const ImageLayer& layer : image.contents->layers) {
        const auto chain = layer.chain ? space.chains.find(*layer.chain) : space.chains.end();
        const bool is_made =
            chain != space.chains.end() && std::exchange(chain->second.is_fresh, false);
        const auto blob = space.blobs.find(layer.digest);
        // With discard_unpacked_layers containerd deletes the blob after unpacking, and only the
        // new snapshot shows the pull.
        const bool is_pulled = blob == space.blobs.end()
                                   ? is_made && !is_there(layer.digest)
                                   : std::exchange(blob->second.is_fresh, false);
        if (!is_pulled) continue;
        // The record of a bake may be read before the news of what it stored.
        const Time stored_at =
            blob == space.blobs.end() ? chain->second.made_at : blob->second.stored_at;
        if (is_of_bake(layer.digest, stored_at)) continue;
        pulled.any = true;
        pulled.stored_at = std::max(pulled.stored_at, stored_at);
        set_pulled(space, layer.digest);
        const Trace trace = blob == space.blobs.end() ? Trace::chain : Trace::blob;
        if (count_pull(layer, trace)) pulled.bytes += layer.size;
    }
    return pulled;
}

/// False if the pull was counted before.
bool LayerOrigins::count_pull(const ImageLayer& layer, Trace trace) {
    if (layer.chain && counted_chains_.size() < kMaxCountedPulls) {
        counted_chains_.try_emplace(*layer.chain, layer.digest);
    }
    const auto counted = counted_pulls_.find(layer.digest);
    if (counted == counted_pulls_.end()) {
        if (counted_pulls_.size() < kMaxCountedPulls) {
            counted_pulls_.emplace(layer.digest,
                                   CountedPull{.has_lost_blob = !is_there(layer.digest)});
        }
        return true;
    }
    return trace == Trace::blob && std::exchange(counted->second.has_lost_blob, false);
}

/// A layer without a blob or a snapshot has to be pulled again, and that counts. While a snapshot
/// is left, only a new blob shows a new pull: other snapshots may be from the old one.
void LayerOrigins::uncount_if_gone(const oci::Digest& digest) {
    const auto counted = counted_pulls_.find(digest);
    if (counted == counted_pulls_.end() || is_there(digest)) return;
    counted->second.has_lost_blob = true;
    const auto is_of_it = [&](const auto& entry) { return entry.second == digest; };
    const auto is_left = [&](const auto& entry) {
        return is_of_it(entry) && std::any_of(spaces_.begin(), spaces_.end(), [&](const auto& at) {
                   return at.second.chains.contains(entry.first);
               });
    };
    if (std::any_of(counted_chains_.begin(), counted_chains_.end(), is_left)) return;
    counted_pulls_.erase(counted);
    std::erase_if(counted_chains_, is_of_it);
}

void LayerOrigins::note_counted(const CatalogImage& image) {
    const Space& space = spaces_[image.key.ns];
    for (const ImageLayer& layer : image.contents->layers) {
        const auto blob = space.blobs.find(layer.digest);
        const auto chain = layer.chain ? space.chains.find(*layer.chain) : space.chains.end();
        const bool is_unsettled = (blob != space.blobs.end() && blob->second.is_fresh) ||
                                  (chain != space.chains.end() && chain->second.is_fresh);
        if (is_unsettled || is_baked(image.key.ns, layer)) continue;
        count_pull(layer, Trace::chain);
    }
}

bool LayerOrigins::has_lost(const CatalogImage& image) const {
    const auto space = spaces_.find(image.key.ns);
    if (space == spaces_.end() || space->second.lost.empty()) return false;
    const oci::DigestSet& lost = space->second.lost;
    return std::any_of(
        image.contents->layers.begin(), image.contents->layers.end(), [&](const ImageLayer& layer) {
            return lost.contains(layer.digest) || (layer.chain && lost.contains(*layer.chain));
        });
}

void LayerOrigins::forget_lost(const CatalogImage& image) {
    Space& space = spaces_[image.key.ns];
    for (const ImageLayer& layer : image.contents->layers) {
        space.lost.erase(layer.digest);
        if (layer.chain) space.lost.erase(*layer.chain);
    }
}

}  // namespace prebake::ledger
