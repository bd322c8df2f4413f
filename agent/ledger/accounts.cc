#include "agent/ledger/accounts.h"

#include <algorithm>
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
constexpr std::size_t kKeySuffix = kDockerInitKey.size() - kDockerInit.size();
/// Limit of the layers that were used in one boot; the file lists them. Beyond this limit the bytes
/// of a layer are missing in the boot's totals.
constexpr std::size_t kMaxBootLayers = 16384;

}  // namespace

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
    origins_.set_baked(*baked);
    catalog_.set_baked(std::move(baked));
    consider_sandbox();
    for (const CatalogImage* image : catalog_.recorded()) credit_stored(*image);
    has_changed_ = true;
}

/// The sandbox image is on every machine image, even if no list has it: its starts are not misses,
/// unless it was pulled.
void Accounts::consider_sandbox() {
    if (sandbox_.empty()) return;
    CatalogImage* image = catalog_.find(std::string(store::kCriNamespace), sandbox_);
    if (image == nullptr || !image->is_from_listing) return;
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
    // A listing may find it committed before the event of its preparation is read.
    return key.ends_with(kDockerInitKey) &&
           totals_.counted().contains(ns, key.substr(0, key.size() - kKeySuffix));
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

StartOutcome Accounts::snapshot_prepared(const std::string& ns, const std::string& key,
                                         const std::string& parent, Time at) {
    if (key.starts_with(kUnpackKey)) return StartOutcome::not_a_start;
    const std::optional<oci::Digest> chain = oci::Digest::try_parse(parent);
    if (!chain || is_counted(ns, key)) return StartOutcome::not_a_start;
    const Catalog::ChainOwner owner = catalog_.owner_of_chain(ns, *chain);
    if (!owner.is_known) return StartOutcome::unknown_image;
    if (owner.image == nullptr) return StartOutcome::not_a_start;
    touch(at);
    count(*owner.image, at);
    totals_.counted().add(ns, key);
    return StartOutcome::counted;
}

void Accounts::snapshot_committed(const std::string& ns, const std::string& key,
                                  const std::string& name, Time at) {
    has_changed_ |= totals_.counted().rename(ns, key, name);
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
    const bool is_pull = pulled.any || (at && !placed.is_alias);
    if (is_first_sight && !image.is_baked) {
        const v1::LedgerImage* entry = totals_.find(image);
        image.is_from_listing = !is_pull;
        image.reason = entry != nullptr && !entry->reason().empty() ? entry->reason() : reason;
    }
    if (is_pull) {
        explain(image, reason, pulled.any);
        v1::LedgerImage& entry = totals_.entry(image);
        if (!placed.is_alias) entry.set_pulls(entry.pulls() + 1);
        totals_.add_pulled(entry, pulled.bytes);
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
    origins_.forget_lost(image);
    has_changed_ = true;
}

std::size_t Accounts::relist(const store::Holdings& holdings, Time now) {
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
    return has_snapshots ? count_listed(holdings, now) : 0;
}

void Accounts::all_listed() {
    origins_.all_listed();
    has_changed_ = true;
}

void Accounts::retain_counted(const store::Holdings& holdings) {
    const auto exists = [&](const std::string& key) { return holdings.snapshots.contains(key); };
    for (const std::string& key : totals_.counted().keys_ending(holdings.ns, kDockerInitKey)) {
        const std::string committed = key.substr(0, key.size() - kKeySuffix);
        if (!exists(key) && exists(committed)) {
            totals_.counted().rename(holdings.ns, key, committed);
        }
    }
    totals_.counted().retain(holdings.ns, exists);
}

std::size_t Accounts::count_listed(const store::Holdings& holdings, Time now) {
    retain_counted(holdings);
    std::vector<const containerd::SnapshotInfo*> starts;
    for (const auto& [key, snapshot] : holdings.snapshots) {
        const bool is_active = snapshot.kind == containerd::SnapshotKind::active;
        if (is_active || key.ends_with(kDockerInit)) starts.push_back(&snapshot);
    }
    std::stable_sort(starts.begin(), starts.end(), [](const auto* one, const auto* other) {
        return one->created_at < other->created_at;
    });
    std::size_t found = 0;
    for (const containerd::SnapshotInfo* start : starts) {
        const std::optional<oci::Digest> chain = oci::Digest::try_parse(start->parent);
        if (!chain || start->name.starts_with(kUnpackKey)) continue;
        if (is_counted(holdings.ns, start->name)) continue;
        const Catalog::ChainOwner owner = catalog_.owner_of_chain(holdings.ns, *chain);
        if (owner.image == nullptr) continue;
        totals_.counted().add(holdings.ns, start->name);
        if (counting_since_ && start->created_at < *counting_since_) continue;  // on the builder
        count(*owner.image, std::min(start->created_at, now));
        ++found;
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
