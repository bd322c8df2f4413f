#include "agent/ledger/ledger_totals.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <vector>

#include "agent/oci/platform.h"

namespace prebake::ledger {
namespace {

constexpr const char* kLedgerSchema = "prebake.v1.Ledger";

void add(v1::Totals& totals, StartClass start, std::uint64_t served) {
    totals.set_starts(totals.starts() + 1);
    switch (start) {
        case StartClass::hit:
            totals.set_hits(totals.hits() + 1);
            break;
        case StartClass::partial:
            totals.set_partials(totals.partials() + 1);
            break;
        case StartClass::miss:
            totals.set_misses(totals.misses() + 1);
            break;
    }
    totals.set_bytes_served(totals.bytes_served() + served);
}

void add(v1::Totals& totals, const v1::LedgerImage& image) {
    totals.set_starts(totals.starts() + image.starts());
    totals.set_hits(totals.hits() + image.hits());
    totals.set_partials(totals.partials() + image.partials());
    totals.set_misses(totals.misses() + image.misses());
    totals.set_bytes_served(totals.bytes_served() + image.bytes_served());
    totals.set_bytes_pulled(totals.bytes_pulled() + image.bytes_pulled());
}

void set_ratios(v1::Totals& totals) {
    if (totals.starts() > 0) {
        totals.set_hit_ratio(static_cast<double>(totals.hits()) /
                             static_cast<double>(totals.starts()));
    }
    const double bytes =
        static_cast<double>(totals.bytes_served()) + static_cast<double>(totals.bytes_pulled());
    if (bytes > 0) totals.set_byte_hit_ratio(static_cast<double>(totals.bytes_served()) / bytes);
}

/// Adds one to the number and its seconds to the mean.
void add_to_mean(std::uint64_t& number, double& mean, double seconds) {
    ++number;
    mean += (seconds - mean) / static_cast<double>(number);
}

/// The last use is never earlier than the first one, even if the clock was set back between them.
void widen_use(v1::LedgerImage& image, Time first, Time last) {
    if (!image.has_first_used_at()) *image.mutable_first_used_at() = to_timestamp(first);
    const Time before =
        to_time(image.has_last_used_at() ? image.last_used_at() : image.first_used_at());
    *image.mutable_last_used_at() = to_timestamp(std::max(before, last));
}

void merge_into(v1::LedgerImage& other, const v1::LedgerImage& image) {
    other.set_name("other");
    other.set_starts(other.starts() + image.starts());
    other.set_hits(other.hits() + image.hits());
    other.set_partials(other.partials() + image.partials());
    other.set_misses(other.misses() + image.misses());
    other.set_bytes_served(other.bytes_served() + image.bytes_served());
    other.set_bytes_pulled(other.bytes_pulled() + image.bytes_pulled());
    other.set_bytes(other.bytes() + image.bytes());
    other.set_pulls(other.pulls() + image.pulls());
    other.set_repins(other.repins() + image.repins());
    if (!image.has_first_used_at()) return;
    const Time first = to_time(image.first_used_at());
    if (other.has_first_used_at() && first < to_time(other.first_used_at())) {
        *other.mutable_first_used_at() = to_timestamp(first);
    }
    widen_use(other, first, to_time(image.last_used_at()));
}

Time last_seen(const v1::LedgerImage& image) {
    if (image.has_last_used_at()) return to_time(image.last_used_at());
    return image.has_appeared_at() ? to_time(image.appeared_at()) : Time::min();
}

bool is_more_used(const v1::LedgerImage& one, const v1::LedgerImage& other) {
    if (one.starts() != other.starts()) return one.starts() > other.starts();
    const Time last = last_seen(one);
    const Time last_of_other = last_seen(other);
    if (last != last_of_other) return last > last_of_other;
    return std::tie(one.name(), one.namespace_(), one.digest()) <
           std::tie(other.name(), other.namespace_(), other.digest());
}

/// The fields of Ledger have the same numbers in LedgerState: this copies all that both have.
template <typename To, typename From>
To with_fields_of(const From& from) {
    To to;
    to.ParseFromString(from.SerializeAsString());
    to.DiscardUnknownFields();
    return to;
}

}  // namespace

LedgerTotals::LedgerTotals(const v1::LedgerState& stored)
    : head_(with_fields_of<v1::Ledger>(stored)) {
    counted_.load(stored.counted());
    for (const v1::LedgerImage& image : stored.images()) {
        store::ImageKey key{
            .image = image.name(), .ns = image.namespace_(), .platform = image.platform()};
        // Older ledgers do not name it, and have only counted what ran on this machine.
        if (key.platform.empty()) key.platform = oci::Platform::host().str();
        v1::LedgerImage& loaded = entry(key, image.digest());
        loaded = image;
        loaded.set_platform(key.platform);
    }
    v1::Totals sums;
    for (const auto& [key, image] : images_) {
        add(sums, image);
        loaded_.insert(key);
    }
    add(sums, head_.other());
    *head_.mutable_since_claim() = sums;
    head_.clear_images();
    const int surplus = head_.gaps_size() - kMaxGaps;
    if (surplus > 0) head_.mutable_gaps()->DeleteSubrange(0, surplus);
}

LedgerTotals::Opening LedgerTotals::open(const std::string& claim, const std::string& boot_id,
                                         Time now) {
    const bool is_continued = head_.has_since() && head_.claim() == claim;
    if (!is_continued) {
        head_.Clear();
        images_.clear();
        loaded_.clear();
        counted_.clear();
        head_.set_claim(claim);
        *head_.mutable_since() = to_timestamp(now);
        head_.mutable_since_claim();
    }
    // The clock was ahead, and must not keep later updates out.
    if (updated_at() > now) *head_.mutable_updated_at() = to_timestamp(now);
    const bool is_same_boot = is_continued && head_.boot_id() == boot_id;
    if (!is_same_boot) {
        head_.set_boot_id(boot_id);
        head_.mutable_boot()->Clear();
        for (auto& [key, image] : images_) {
            image.clear_first_start_seconds();
            image.clear_first_start_hydrated();
        }
    }
    if (!is_continued) return Opening::began;
    return is_same_boot ? Opening::continued : Opening::rebooted;
}

void LedgerTotals::update_to(Time time) {
    if (head_.has_updated_at() && to_time(head_.updated_at()) >= time) return;
    *head_.mutable_updated_at() = to_timestamp(time);
}

LedgerTotals::EntryKey LedgerTotals::key_of(const CatalogImage& image) {
    return {image.key, image.contents->target};
}

const v1::LedgerImage* LedgerTotals::find(const store::ImageKey& key,
                                          const std::string& digest) const {
    const auto place = images_.find({key, digest});
    return place == images_.end() ? nullptr : &place->second;
}

const v1::LedgerImage* LedgerTotals::find(const CatalogImage& image) const {
    return find(image.key, image.contents->target);
}

const v1::LedgerImage* LedgerTotals::take_loaded(const CatalogImage& image) {
    return loaded_.erase(key_of(image)) == 0 ? nullptr : find(image);
}

v1::LedgerImage& LedgerTotals::entry(const store::ImageKey& key, const std::string& digest) {
    const auto [place, is_new] = images_.try_emplace({key, digest});
    v1::LedgerImage& entry = place->second;
    if (!is_new) return entry;
    entry.set_namespace_(key.ns);
    entry.set_name(key.image);
    entry.set_platform(key.platform);
    entry.set_digest(digest);
    if (images_.size() > kMaxLedgerImages) merge_least_used(place->first);
    return entry;
}

v1::LedgerImage& LedgerTotals::entry(const CatalogImage& image) {
    v1::LedgerImage& found = entry(image.key, image.contents->target);
    found.set_baked(image.is_baked);
    found.set_bytes(image.contents->bytes);
    if (found.reason().empty()) found.set_reason(image.reason);
    return found;
}

void LedgerTotals::merge_least_used(const EntryKey& except) {
    auto least = images_.end();
    for (auto place = images_.begin(); place != images_.end(); ++place) {
        if (place->second.baked() || place->first == except) continue;
        if (least == images_.end() || is_more_used(least->second, place->second)) least = place;
    }
    if (least == images_.end()) return;  // only baked images, and the record limits their number
    merge_into(*head_.mutable_other(), least->second);
    head_.set_folded(head_.folded() + 1);
    images_.erase(least);
}

void LedgerTotals::count(v1::LedgerImage& entry, StartClass start, Served served, Time at) {
    entry.set_starts(entry.starts() + 1);
    switch (start) {
        case StartClass::hit:
            entry.set_hits(entry.hits() + 1);
            break;
        case StartClass::partial:
            entry.set_partials(entry.partials() + 1);
            break;
        case StartClass::miss:
            entry.set_misses(entry.misses() + 1);
            break;
    }
    entry.set_bytes_served(entry.bytes_served() + served.since_claim);
    const bool is_first =
        entry.has_appeared_at() && entry.seconds_to_first_start() <= 0 &&
        (!entry.has_last_used_at() || to_time(entry.last_used_at()) < to_time(entry.appeared_at()));
    if (is_first) {
        const std::chrono::duration<double> waited = at - to_time(entry.appeared_at());
        entry.set_seconds_to_first_start(std::max(0.0, waited.count()));
    }
    widen_use(entry, at, at);
    add(*head_.mutable_since_claim(), start, served.since_claim);
    add(*head_.mutable_boot(), start, served.in_boot);
}

void LedgerTotals::note_first_start(v1::LedgerImage& entry, FirstStart start) {
    constexpr double kLeast = 0.001;  // 0 stands for unknown
    const double seconds = std::max(kLeast, std::chrono::duration<double>(start.took).count());
    entry.set_first_start_seconds(seconds);
    entry.set_first_start_hydrated(start.disk == Disk::hydrated);
    if (start.disk == Disk::usual) return;
    v1::FirstStarts& starts = *head_.mutable_first_starts();
    const bool is_hydrated = start.disk == Disk::hydrated;
    std::uint64_t number = is_hydrated ? starts.hydrated() : starts.cold();
    double mean = is_hydrated ? starts.hydrated_mean_seconds() : starts.cold_mean_seconds();
    add_to_mean(number, mean, seconds);
    if (is_hydrated) {
        starts.set_hydrated(number);
        starts.set_hydrated_mean_seconds(mean);
    } else {
        starts.set_cold(number);
        starts.set_cold_mean_seconds(mean);
    }
}

void LedgerTotals::add_pulled(v1::LedgerImage& entry, std::uint64_t bytes) {
    entry.set_bytes_pulled(entry.bytes_pulled() + bytes);
    for (v1::Totals* totals : {head_.mutable_since_claim(), head_.mutable_boot()}) {
        totals->set_bytes_pulled(totals->bytes_pulled() + bytes);
    }
}

void LedgerTotals::take_back_pull(const store::ImageKey& key, const std::string& digest,
                                  std::uint64_t bytes, std::uint64_t pulls) {
    const auto place = images_.find({key, digest});
    if (place == images_.end()) return;
    const auto less = [](std::uint64_t from, std::uint64_t by) {
        return from - std::min(from, by);
    };
    v1::LedgerImage& entry = place->second;
    entry.set_pulls(less(entry.pulls(), pulls));
    entry.set_bytes_pulled(less(entry.bytes_pulled(), bytes));
    for (v1::Totals* totals : {head_.mutable_since_claim(), head_.mutable_boot()}) {
        totals->set_bytes_pulled(less(totals->bytes_pulled(), bytes));
    }
    if (entry.pulls() > 0) return;
    entry.clear_appeared_at();
    entry.clear_reason();
    const std::uint64_t others = entry.hits() + entry.partials() + entry.misses() + entry.repins();
    if (others == 0 && entry.bytes_pulled() == 0) images_.erase(place);
}

void LedgerTotals::add_gap(Time from, Time to, const std::string& cause, std::size_t found) {
    if (head_.gaps_size() >= kMaxGaps) head_.mutable_gaps()->DeleteSubrange(0, 1);
    v1::Gap& gap = *head_.add_gaps();
    *gap.mutable_from() = to_timestamp(from);
    *gap.mutable_to() = to_timestamp(std::max(from, to));
    gap.set_cause(cause);
    gap.set_found_after(static_cast<std::uint32_t>(found));
    head_.set_gaps_total(head_.gaps_total() + 1);
}

void LedgerTotals::add_images_to(
    google::protobuf::RepeatedPtrField<v1::LedgerImage>& images) const {
    std::vector<const v1::LedgerImage*> sorted;
    sorted.reserve(images_.size());
    for (const auto& [key, image] : images_) sorted.push_back(&image);
    std::sort(sorted.begin(), sorted.end(),
              [](const auto* one, const auto* other) { return is_more_used(*one, *other); });
    for (const v1::LedgerImage* image : sorted) *images.Add() = *image;
}

v1::LedgerState LedgerTotals::state() const {
    auto state = with_fields_of<v1::LedgerState>(head_);
    state.set_schema(kLedgerSchema);
    add_images_to(*state.mutable_images());
    counted_.store(*state.mutable_counted());
    return state;
}

v1::Ledger LedgerTotals::report() const {
    v1::Ledger ledger = head_;
    ledger.set_schema(kLedgerSchema);
    add_images_to(*ledger.mutable_images());
    set_ratios(*ledger.mutable_since_claim());
    set_ratios(*ledger.mutable_boot());
    return ledger;
}

}  // namespace prebake::ledger
