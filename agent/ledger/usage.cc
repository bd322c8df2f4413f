#include "agent/ledger/usage.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace prebake::ledger {
namespace {

/// (namespace, digest of the config)
using Identity = std::pair<std::string_view, std::string_view>;

Identity identity_of(const CatalogImage& image) {
    return {image.key.ns, image.contents->config};
}

bool is_used(const LedgerTotals& totals, const CatalogImage& image) {
    const v1::LedgerImage* entry = totals.find(image);
    return entry != nullptr && entry->starts() > 0;
}

v1::LedgerImage unused_entry(const LedgerTotals& totals, const CatalogImage& image) {
    v1::LedgerImage entry;
    if (const v1::LedgerImage* known = totals.find(image)) entry = *known;
    entry.set_name(image.key.image);
    entry.set_namespace_(image.key.ns);
    entry.set_platform(image.key.platform);
    entry.set_digest(image.contents->target);
    entry.set_baked(true);
    entry.set_bytes(image.contents->bytes);
    return entry;
}

}  // namespace

v1::Ledger report_of(const LedgerTotals& totals, const Catalog& catalog) {
    const std::vector<const CatalogImage*> baked = catalog.recorded();
    std::set<Identity> used;
    for (const CatalogImage* image : baked) {
        if (is_used(totals, *image)) used.insert(identity_of(*image));
    }
    std::vector<v1::LedgerImage> unused;
    for (const CatalogImage* image : baked) {
        if (used.contains(identity_of(*image))) continue;
        unused.push_back(unused_entry(totals, *image));
    }
    std::stable_sort(unused.begin(), unused.end(), [](const auto& one, const auto& other) {
        return one.bytes() > other.bytes();
    });
    v1::Ledger ledger = totals.report();
    for (v1::LedgerImage& image : unused) *ledger.add_never_used() = std::move(image);
    return ledger;
}

ImageUsage usage_of(const LedgerTotals& totals, const Catalog& catalog,
                    const store::ImageKey& key) {
    const std::vector<const CatalogImage*> baked = catalog.recorded();
    const auto wanted = std::find_if(baked.begin(), baked.end(),
                                     [&](const CatalogImage* image) { return image->key == key; });
    ImageUsage usage;
    if (wanted == baked.end()) return usage;
    for (const CatalogImage* image : baked) {
        const bool is_same = identity_of(*image) == identity_of(**wanted);
        const v1::LedgerImage* entry = is_same ? totals.find(*image) : nullptr;
        if (entry == nullptr) continue;
        usage.starts += entry->starts();
        if (entry->has_last_used_at()) {
            usage.last_used = std::max(usage.last_used, to_time(entry->last_used_at()));
        }
    }
    return usage;
}

}  // namespace prebake::ledger
