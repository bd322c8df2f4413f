#include "agent/report/image_rows.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "agent/base/timestamp.h"

namespace prebake::report {
namespace {

constexpr std::array kCounts{&ImageCounts::hits, &ImageCounts::partials, &ImageCounts::misses,
                             &ImageCounts::bytes_pulled};

void add(ImageCounts& to, const v1::LedgerImage& image) {
    to.hits += image.hits();
    to.partials += image.partials();
    to.misses += image.misses();
    to.bytes_pulled += image.bytes_pulled();
}

/// The ledger's entries for one name.
struct Entry {
    ImageCounts counts = {};
    bool is_baked = false;
    Time first_seen = Time::max();
};

void add(Entry& entry, const v1::LedgerImage& image) {
    add(entry.counts, image);
    entry.is_baked |= image.baked();
    for (const auto& [is_known, time] :
         {std::pair(image.has_first_used_at(), &image.first_used_at()),
          std::pair(image.has_appeared_at(), &image.appeared_at())}) {
        if (is_known) entry.first_seen = std::min(entry.first_seen, to_time(*time));
    }
}

}  // namespace

std::vector<ImageRow> ImageRows::update(const v1::Ledger& ledger) {
    // Both, because without a claim only the time distinguishes ledgers.
    const std::string claim = ledger.claim() + '\n' + ledger.since().SerializeAsString();
    if (claim != claim_) {
        claim_ = claim;
        shown_.clear();
        has_other_ = false;
    }

    ImageCounts rest;
    std::map<Key, Entry> entries;
    for (const auto& image : ledger.images()) {
        add(rest, image);
        add(entries[{image.name(), image.namespace_(), image.platform()}], image);
    }
    add(rest, ledger.other());
    // Baked images get a row before their first start; later there may be no free row.
    for (const auto& image : ledger.never_used()) {
        entries[{image.name(), image.namespace_(), image.platform()}].is_baked = true;
    }

    std::vector<const std::pair<const Key, Entry>*> newcomers;
    for (const auto& entry : entries) {
        if (!shown_.contains(entry.first)) newcomers.push_back(&entry);
    }
    std::ranges::sort(newcomers, {}, [](const auto* entry) {
        return std::tuple(!entry->second.is_baked, entry->second.first_seen, entry->first);
    });
    const std::size_t room = max_rows_ - shown_.size();
    has_other_ |= newcomers.size() > room || ledger.folded() > 0 || ledger.has_other();
    newcomers.resize(std::min(room, newcomers.size()));
    for (const auto* entry : newcomers) shown_.try_emplace(entry->first);

    std::vector<ImageRow> rows;
    for (auto& [key, shown] : shown_) {
        const auto entry = entries.find(key);
        for (const auto count : kCounts) {
            // The ledger may have merged an entry of this name into "other" and now has less. The
            // row keeps its value, and the rest shrinks by it, so that the sum stays right.
            if (entry != entries.end()) {
                shown.*count = std::max(shown.*count, entry->second.counts.*count);
            }
            rest.*count -= std::min(rest.*count, shown.*count);
        }
        const auto& [name, ns, platform] = key;
        rows.push_back({name, ns, platform, shown});
    }
    if (has_other_) rows.push_back({"other", "", "", rest});
    return rows;
}

}  // namespace prebake::report
