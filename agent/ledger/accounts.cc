#include "agent/ledger/accounts.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/ledger/catalog.h"
#include "agent/ledger/layer_origins.h"
#include "agent/ledger/ledger_totals.h"
#include "agent/ledger/pull_reason.h"
#include "agent/ledger/start_class.h"
#include "agent/ledger/usage.h"
#include "agent/oci/digest.h"
#include "agent/store/names.h"
#include "agent/store/snapshot_use.h"

namespace prebake::ledger {
namespace {

/// Prefix of the keys of snapshots that become layers, by containerd's clients and prebake.
constexpr std::string_view kUnpackKey = "extract-";
/// In the keys of the snapshots that prebake unpacks.
constexpr std::string_view kPrebakeKey = "-prebake";
/// Docker prepares "<id>-init-key" on top of the image, commits it as "<id>-init", and prepares the
/// container's own snapshot "<id>" on top of that.
constexpr std::string_view kDockerInitKey = "-init-key";
constexpr std::string_view kDockerInit = "-init";
/// CRI's key for an image that a pod mounts is a path: ".../image-volumes/SANDBOX/MANIFEST".
constexpr std::string_view kImageVolumes = "/image-volumes/";
/// Limit of the layers that were used in one boot; the file lists them. Beyond this limit the bytes
/// of a layer are missing in the boot's totals.
constexpr std::size_t kMaxBootLayers = 16384;
/// More than a bake has images with their names.
constexpr std::size_t kMaxRecentPulls = 4096;
/// The times of a bake are those of its process, the times of events those of containerd.
constexpr std::chrono::seconds kBakeSlack{2};

/// Whether the bake worked on the image at that time.
bool was_being_baked(const v1::BakedImage& image, Time at) {
    if (!image.has_baked_at()) return false;
    const Time ended = to_time(image.baked_at());
    const auto took = std::chrono::duration<double>(image.seconds());
    return at >= ended - std::chrono::duration_cast<Time::duration>(took) - kBakeSlack &&
           at <= ended + kBakeSlack;
}

/// The top layer of the image that a container's snapshot is on top of.
std::optional<oci::Digest> image_below(const containerd::SnapshotInfo& snapshot,
                                       const store::Holdings& holdings) {
    if (auto chain = oci::Digest::try_parse(snapshot.parent)) return chain;
    if (!snapshot.parent.ends_with(kDockerInit)) return {};
    const auto init = holdings.snapshots.find(snapshot.parent);
    if (init == holdings.snapshots.end()) return {};
    return oci::Digest::try_parse(init->second.parent);
}

/// Not of a layer that is unpacked, nor of a container that prebake records.
bool is_of_container(std::string_view snapshot_key) {
    return !snapshot_key.starts_with(kUnpackKey) &&
           !snapshot_key.starts_with(store::kRecordedPrefix);
}

}  // namespace

bool is_image_volume(std::string_view snapshot_key) {
    return snapshot_key.starts_with('/') && snapshot_key.find(kImageVolumes) != snapshot_key.npos;
}

Accounts::Accounts(const v1::LedgerState& stored) : totals_(stored) {
    origins_.load(stored);
    if (stored.has_uncounted_since()) uncounted_since_ = to_time(stored.uncounted_since());
    for (const std::string& text : stored.boot_layers()) {
        const std::optional<oci::Digest> digest = oci::Digest::try_parse(text);
        if (!digest) continue;
        credited_.insert(*digest);
        credited_in_boot_.insert(*digest);
    }
    is_boot_credit_unknown_ = credited_in_boot_.empty() && stored.boot().bytes_served() > 0;
}

void Accounts::open(const std::string& claim, const std::string& boot_id, Time booted_at,
                    Time now) {
    booted_at_ = booted_at;
    const Time looked_until = totals_.updated_at() + Time::duration(1);
    const LedgerTotals::Opening opening = totals_.open(claim, boot_id, now);
    if (opening != LedgerTotals::Opening::continued) {
        credited_in_boot_.clear();
        is_boot_credit_unknown_ = false;
    }
    if (opening == LedgerTotals::Opening::began) {
        counting_since_ = booted_at;
        credited_.clear();
        origins_.forget_pulls();
        origins_.open(booted_at, booted_at);
    } else {
        origins_.open(uncounted_since_.value_or(looked_until), looked_until);
    }
    touch(now);
    has_changed_ = true;
}

void Accounts::set_baked(std::shared_ptr<const store::BakedImages> baked) {
    // While CRI does not answer, the last known sandbox image stays.
    if (!baked->sandbox().name.empty()) sandbox_ = baked->sandbox().name;
    baked_ = std::move(baked);
    origins_.set_baked(*baked_);
    catalog_.set_baked(baked_);
    consider_sandbox();
    for (const CatalogImage* image : catalog_.recorded()) credit_stored(*image);
    for (const store::PlacedImage& placed : baked_->images()) take_back_pulls_of(placed);
    has_changed_ = true;
}

void Accounts::note_pull(const CatalogImage& image, Time at, std::uint64_t bytes,
                         std::uint64_t pulls) {
    recent_pulls_.push_back({.key = image.key,
                             .digest = image.contents->target,
                             .at = at,
                             .bytes = bytes,
                             .pulls = pulls});
    if (recent_pulls_.size() > kMaxRecentPulls) recent_pulls_.pop_front();
}

/// The record of a bake may be read before the last news of it.
bool Accounts::is_named_by_bake(const CatalogImage& image, Time at) const {
    if (!baked_) return false;
    const auto& images = baked_->images();
    return std::any_of(images.begin(), images.end(), [&](const store::PlacedImage& baked) {
        return baked.is_recorded && baked.key.ns == image.key.ns &&
               baked.image.target().digest() == image.contents->target &&
               was_being_baked(baked.image, at);
    });
}

/// What the bake itself fetched was not pulled by the node. Until its record is read, each of its
/// names looks like an image of its own.
void Accounts::take_back_pulls_of(const store::PlacedImage& baked) {
    if (!baked.is_recorded) return;
    const auto& names = baked.placement.names();
    const auto is_named = [&](const std::string& name) {
        return name == baked.key.image ||
               std::find(names.begin(), names.end(), name) != names.end();
    };
    std::erase_if(recent_pulls_, [&](const RecentPull& pull) {
        const bool is_of_bake = was_being_baked(baked.image, pull.at) &&
                                pull.key.ns == baked.key.ns && is_named(pull.key.image) &&
                                pull.digest == baked.image.target().digest();
        if (is_of_bake) totals_.take_back_pull(pull.key, pull.digest, pull.bytes, pull.pulls);
        return is_of_bake;
    });
}

/// The sandbox image is on every machine image, even if no list has it: its starts are not misses,
/// unless it was pulled.
void Accounts::consider_sandbox() {
    if (sandbox_.empty()) return;
    CatalogImage* image = catalog_.find(std::string(store::kCriNamespace), sandbox_);
    if (image == nullptr || !image->is_unpulled) return;
    const v1::LedgerImage* entry = totals_.find(*image);
    if (entry != nullptr && !entry->baked() && (entry->pulls() > 0 || entry->bytes_pulled() > 0)) {
        return;
    }
    catalog_.count_as_baked(*image);
    origins_.add_baked(*image);
}

/// The stored ledger already has the bytes of the image: they must not count again.
void Accounts::credit_stored(const CatalogImage& image) {
    const v1::LedgerImage* entry = totals_.take_loaded(image);
    if (entry == nullptr) return;
    if (entry->bytes_pulled() > 0) origins_.note_counted(image);
    if (entry->hits() + entry->partials() == 0) return;
    for (const ImageLayer& layer : image.contents->layers) {
        if (!origins_.is_baked(image.key.ns, layer)) continue;
        credited_.insert(layer.digest);
        if (is_boot_credit_unknown_) credited_in_boot_.insert(layer.digest);
    }
}

bool Accounts::has_pulled_layer(const CatalogImage& image) const {
    return std::any_of(
        image.contents->layers.begin(), image.contents->layers.end(),
        [&](const ImageLayer& layer) { return !origins_.is_baked(image.key.ns, layer); });
}

bool Accounts::is_unpacked(const CatalogImage& image) const {
    return !image.contents->chain || origins_.has_chain(image.key.ns, *image.contents->chain);
}

void Accounts::touch(Time time) {
    totals_.update_to(time);
    looked_until_ = time;
}

bool Accounts::is_counted(const std::string& ns, const std::string& key) const {
    if (totals_.counted().contains(ns, key)) return true;
    // A listing may find the container before the event of its preparation is read.
    return key.ends_with(kDockerInitKey) &&
           totals_.counted().contains(ns, key.substr(0, key.size() - kDockerInitKey.size()));
}

void Accounts::count(const CatalogImage& image, Time at) {
    StartFacts facts{.is_baked_image = image.is_baked};
    LedgerTotals::Served served;
    for (const ImageLayer& layer : image.contents->layers) {
        if (!origins_.is_baked(image.key.ns, layer)) {
            facts.has_pulled_layer = true;
            continue;
        }
        facts.baked_bytes += layer.size;
        if (credited_.insert(layer.digest).second) served.since_claim += layer.size;
        if (credited_in_boot_.size() >= kMaxBootLayers) continue;
        if (credited_in_boot_.insert(layer.digest).second) served.in_boot += layer.size;
    }
    totals_.count(totals_.entry(image), classify(facts), served, at);
    has_changed_ = true;
}

bool Accounts::is_unused_in_boot(const CatalogImage& image) const {
    const v1::LedgerImage* entry = totals_.find(image);
    return entry == nullptr || !entry->has_last_used_at() ||
           to_time(entry->last_used_at()) < booted_at_;
}

void Accounts::note_first_start(const CatalogImage& image, Time created_at, Time at) {
    // The pause image is tiny, and its start waits for the network of a pod.
    const CatalogImage* sandbox = catalog_.find(std::string(store::kCriNamespace), sandbox_);
    const bool is_sandbox = sandbox != nullptr && sandbox->key == image.key;
    if (!image.is_baked || is_sandbox) return;
    LedgerTotals::FirstStart start{.took = at - created_at};
    if (warmth_) {
        const bool is_warm = warmth_->hydrated_at && *warmth_->hydrated_at <= created_at;
        start.disk = is_warm ? LedgerTotals::Disk::hydrated : LedgerTotals::Disk::cold;
    }
    totals_.note_first_start(totals_.entry(image), start);
}

Prepared Accounts::snapshot_prepared(const std::string& ns, const std::string& key,
                                     const std::string& parent) {
    if (!is_of_container(key)) return Prepared::not_a_start;
    if (parent.ends_with(kDockerInit) && pending_.rename(ns, parent, key)) {
        return Prepared::for_container;
    }
    const std::optional<oci::Digest> chain = oci::Digest::try_parse(parent);
    if (!chain || is_counted(ns, key)) return Prepared::not_a_start;
    const Catalog::ChainOwner owner = catalog_.owner_of_chain(ns, *chain);
    if (!owner.is_known) return Prepared::on_unknown_image;
    if (owner.image == nullptr) return Prepared::not_a_start;
    pending_.add(ns, key, {.chain = *chain});
    return Prepared::for_container;
}

void Accounts::container_created(const std::string& ns, const std::string& key,
                                 const std::string& image, std::optional<Time> at) {
    pending_.set_container(ns, key, image, at);
}

void Accounts::task_started(const std::string& ns, const std::string& key, Time at) {
    if (!is_counted(ns, key) && count_start(ns, key, at)) touch(at);
    pending_.remove(ns, key);
}

bool Accounts::count_start(const std::string& ns, const std::string& key, Time at) {
    const PendingStart* const start = pending_.find(ns, key);
    if (start == nullptr) return false;
    const Catalog::ChainOwner owner = catalog_.owner_of_chain(ns, start->chain, start->image);
    if (owner.image == nullptr) return false;
    const bool is_first = is_unused_in_boot(*owner.image);
    count(*owner.image, at);
    if (is_first && start->created_at) note_first_start(*owner.image, *start->created_at, at);
    totals_.counted().add(ns, key);
    return true;
}

void Accounts::snapshot_committed(const std::string& ns, const std::string& key,
                                  const std::string& name, Time at) {
    pending_.rename(ns, key, name);
    const std::optional<oci::Digest> chain = oci::Digest::try_parse(name);
    if (!chain) return;
    const bool is_ours = key.find(kPrebakeKey) != std::string::npos;
    origins_.learn_commit(
        ns, *chain, is_ours ? LayerOrigins::Committer::prebake : LayerOrigins::Committer::other,
        at);
}

void Accounts::snapshot_removed(const std::string& ns, const std::string& key, Time at) {
    has_changed_ |= totals_.counted().remove(ns, key);
    if (const std::optional<oci::Digest> chain = oci::Digest::try_parse(key))
        origins_.forget_chain(ns, *chain, at);
}

void Accounts::blob_deleted(const std::string& ns, const std::string& digest, Time at) {
    if (const std::optional<oci::Digest> key = oci::Digest::try_parse(digest))
        origins_.forget_blob(ns, *key, at);
}

bool Accounts::is_news(const std::string& ns, const std::string& name,
                       const std::string& target) const {
    const CatalogImage* image = catalog_.find(ns, name);
    if (image == nullptr || image->contents->target != target) return true;
    // Baked and not unpacked: its chains are not known yet.
    return !image->contents->chain && !image->contents->layers.empty();
}

/// A pull that fetched nothing does not explain why the image is not a hit: the earlier reason
/// stays.
void Accounts::explain(CatalogImage& image, std::string_view reason, bool has_pulled) {
    v1::LedgerImage& entry = totals_.entry(image);
    const bool is_kept =
        reason == kPulledAgain && !has_pulled && !entry.reason().empty() && has_pulled_layer(image);
    if (!is_kept) image.reason = reason;
    entry.set_reason(image.reason);
}

void Accounts::image_appeared(const SeenImage& seen, std::optional<Time> at) {
    if (at) touch(*at);
    for (const auto& [text, stored_at] : seen.blobs) {
        if (const auto digest = oci::Digest::try_parse(text)) {
            origins_.learn_blob(seen.ns, *digest, stored_at);
        }
    }
    const Catalog::Placed placed = catalog_.place(seen.ns, seen.name, summarize(seen.contents));
    CatalogImage& image = placed.image;
    PullFacts facts = catalog_.facts_of(image, image.is_baked ? image.key.image : seen.name);
    facts.has_lost_parts |= origins_.has_lost(image);
    const std::string reason(pull_reason(facts));
    credit_stored(image);
    const LayerOrigins::Pulled pulled = origins_.take_pulled(image);
    const bool is_first_sight = !placed.was_there && !placed.is_alias;
    const bool is_pull = pulled.any || (at && !placed.is_alias && !is_named_by_bake(image, *at));
    if (is_first_sight && !image.is_baked) {
        const v1::LedgerImage* entry = totals_.find(image);
        image.is_unpulled = !is_pull;
        image.reason = entry != nullptr && !entry->reason().empty() ? entry->reason() : reason;
    }
    if (is_pull) {
        explain(image, reason, pulled.any);
        v1::LedgerImage& entry = totals_.entry(image);
        if (!placed.is_alias) entry.set_pulls(entry.pulls() + 1);
        totals_.add_pulled(entry, pulled.bytes);
        note_pull(image, at.value_or(pulled.stored_at), pulled.bytes, placed.is_alias ? 0 : 1);
        if (at && is_first_sight && !image.is_baked) {
            *entry.mutable_appeared_at() = to_timestamp(*at);
            entry.set_seconds_to_first_start(0);
        }
        has_changed_ = true;
    }
    if (image.is_baked && !placed.is_alias) {
        image.has_lost_name = false;
        image.is_chain_missing = false;
        origins_.forget_lost(image);
    }
    consider_sandbox();
}

void Accounts::image_gone(const std::string& ns, const std::string& name) {
    CatalogImage* image = catalog_.find(ns, name);
    if (image == nullptr) return;
    image->has_lost_name = image->is_baked;
    catalog_.remove(ns, name);
}

/// Counts the pull of an image that no event reported.
void Accounts::settle_listed(CatalogImage& image) {
    const LayerOrigins::Pulled pulled = origins_.take_pulled(image);
    if (!pulled.any) return;
    PullFacts facts = catalog_.facts_of(image, image.key.image);
    facts.has_lost_parts |= origins_.has_lost(image);
    explain(image, pull_reason(facts), pulled.any);
    v1::LedgerImage& entry = totals_.entry(image);
    entry.set_pulls(entry.pulls() + 1);
    totals_.add_pulled(entry, pulled.bytes);
    note_pull(image, pulled.stored_at, pulled.bytes, 1);
    origins_.forget_lost(image);
    has_changed_ = true;
}

std::size_t Accounts::relist(const store::Holdings& holdings,
                             const std::vector<ListedContainer>& containers, Time now) {
    for (const std::string& name : catalog_.names_missing_in(holdings)) {
        image_gone(holdings.ns, name);
    }
    origins_.learn_all(holdings);
    const bool has_snapshots = !holdings.snapshotter.empty();
    for (CatalogImage* image : catalog_.images(holdings.ns)) {
        settle_listed(*image);
        image->is_chain_missing = has_snapshots && image->is_baked && !is_unpacked(*image);
    }
    touch(now);
    has_changed_ = true;
    return has_snapshots ? count_listed(holdings, containers, now) : 0;
}

void Accounts::all_listed() {
    origins_.all_listed();
    has_changed_ = true;
}

void Accounts::retain_counted(const store::Holdings& holdings) {
    const auto& snapshots = holdings.snapshots;
    // Older ledgers have Docker's containers by what is below their snapshot.
    for (const std::string& init : totals_.counted().keys_ending(holdings.ns, kDockerInit)) {
        const std::string own = init.substr(0, init.size() - kDockerInit.size());
        const auto snapshot = snapshots.find(own);
        if (snapshot == snapshots.end() || snapshot->second.parent != init) continue;
        totals_.counted().rename(holdings.ns, init, own);
    }
    totals_.counted().retain(holdings.ns,
                             [&](const std::string& key) { return snapshots.contains(key); });
}

std::size_t Accounts::count_listed(const store::Holdings& holdings,
                                   const std::vector<ListedContainer>& containers, Time now) {
    retain_counted(holdings);
    std::vector<const containerd::SnapshotInfo*> own;
    for (const auto& [key, snapshot] : holdings.snapshots) {
        if (snapshot.kind == containerd::SnapshotKind::active) own.push_back(&snapshot);
    }
    std::stable_sort(own.begin(), own.end(), [](const auto* one, const auto* other) {
        return one->created_at < other->created_at;
    });
    // An event that is not read yet may report what is pending after this listing.
    pending_.clear(holdings.ns);
    for (const containerd::SnapshotInfo* snapshot : own) {
        const std::optional<oci::Digest> chain = image_below(*snapshot, holdings);
        if (!chain || !is_of_container(snapshot->name)) continue;
        if (!is_counted(holdings.ns, snapshot->name)) {
            pending_.add(holdings.ns, snapshot->name, {.chain = *chain});
        }
    }
    std::set<std::string_view> started;
    for (const ListedContainer& container : containers) {
        pending_.set_container(holdings.ns, container.snapshot_key, container.image, {});
        if (container.has_started) started.insert(container.snapshot_key);
    }
    std::size_t found = 0;
    for (const containerd::SnapshotInfo* snapshot : own) {
        const std::string& key = snapshot->name;
        const bool has_started = started.contains(key) || is_image_volume(key);
        if (!has_started || !awaits_start(holdings.ns, key)) continue;
        if (counting_since_ && snapshot->created_at < *counting_since_) {  // on the builder
            totals_.counted().add(holdings.ns, key);
        } else if (count_start(holdings.ns, key, std::min(snapshot->created_at, now))) {
            ++found;
        }
        pending_.remove(holdings.ns, key);
    }
    return found;
}

void Accounts::restored(const store::Holdings& holdings) {
    catalog_.restore(holdings);
    origins_.restored(holdings);
    for (CatalogImage* image : catalog_.images(holdings.ns)) {
        image->has_lost_name = false;
        image->is_chain_missing = image->is_baked && !is_unpacked(*image);
    }
    has_changed_ = true;
}

void Accounts::repinned(const std::string& ns, const std::string& name) {
    const CatalogImage* image = catalog_.find_or_recorded(ns, name);
    if (image == nullptr) return;
    v1::LedgerImage& entry = totals_.entry(*image);
    entry.set_repins(entry.repins() + 1);
    has_changed_ = true;
}

void Accounts::mark_gap(Time from, Time to, const std::string& cause, std::size_t found) {
    totals_.add_gap(from, to, cause, found);
    has_changed_ = true;
}

v1::LedgerState Accounts::state() const {
    v1::LedgerState state = totals_.state();
    origins_.store(state, looked_until_);
    for (const oci::Digest& digest : credited_in_boot_) state.add_boot_layers(digest.str());
    return state;
}

v1::Ledger Accounts::report() const {
    return report_of(totals_, catalog_);
}

ImageUsage Accounts::usage(const store::ImageKey& key) const {
    return usage_of(totals_, catalog_, key);
}

}  // namespace prebake::ledger
