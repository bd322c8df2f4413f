#include "agent/report/status_document.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "agent/base/timestamp.h"
#include "agent/report/node_hydration.h"
#include "agent/report/pull_advice.h"

namespace prebake::report {
namespace {

/// All placements of one image together.
struct Summary {
    bool is_usable = true;
    bool is_pinned = true;
    bool is_unpinned_by_budget = false;
    bool is_repaired = false;
    bool is_moved = false;
    bool is_other_platform = false;
    bool is_removed = false;
};

/// Name and platform.
using ImageName = std::pair<std::string_view, std::string_view>;

std::map<ImageName, Summary> summaries_of(const StatusFacts& facts) {
    std::map<ImageName, Summary> summaries;
    for (const guard::ImageHealth& image : facts.node.images) {
        if (!facts.images.baked().is_recorded(image.name)) continue;  // the sandbox image
        Summary& summary = summaries[{image.name, image.platform}];
        summary.is_usable = summary.is_usable && image.is_usable() && !image.is_evicted;
        // Only the kubelet deletes images by itself, so other namespaces have no pins.
        if (image.wants_pin) {
            summary.is_pinned = summary.is_pinned && image.is_kept();
        }
        summary.is_unpinned_by_budget |= image.is_unpinned_by_budget;
        summary.is_repaired |= image.is_repaired;
        summary.is_moved |= image.is_moved;
        summary.is_other_platform |= image.is_other_platform;
        summary.is_removed |= image.is_removed;
    }
    return summaries;
}

using Names = std::set<ImageName>;

/// The bytes of the record's layers, each counted once, without layers that only images of
/// `left_out` have.
std::uint64_t bytes_of(const v1::BakeRecord& record, const Names& left_out) {
    std::set<std::string_view> counted;
    std::uint64_t bytes = 0;
    for (const v1::BakedImage& image : record.images()) {
        if (left_out.contains({image.name(), image.platform()})) continue;
        for (const v1::Layer& layer : image.layers()) {
            if (counted.insert(layer.digest()).second) bytes += layer.size();
        }
    }
    return bytes;
}

/// Evicted images are counted as unpinned by the budget, not as unusable; those for another
/// platform, and those that somebody removed, only as such.
v1::ImageCounts counts_of(const StatusFacts& facts) {
    v1::ImageCounts counts;
    counts.set_baked(static_cast<std::uint32_t>(facts.images.baked().record().images_size()));
    for (const auto& [name, summary] : summaries_of(facts)) {
        if (summary.is_other_platform) {
            counts.set_other_platform(counts.other_platform() + 1);
            continue;
        }
        if (summary.is_removed) {
            counts.set_removed(counts.removed() + 1);
            continue;
        }
        if (summary.is_usable) {
            counts.set_usable(counts.usable() + 1);
        } else if (!summary.is_unpinned_by_budget) {
            counts.set_unusable(counts.unusable() + 1);
        }
        if (summary.is_unpinned_by_budget) {
            counts.set_unpinned_by_budget(counts.unpinned_by_budget() + 1);
        } else if (summary.is_pinned) {
            counts.set_pinned(counts.pinned() + 1);
        }
        if (summary.is_repaired) counts.set_repaired(counts.repaired() + 1);
        if (summary.is_moved) counts.set_moved(counts.moved() + 1);
    }
    counts.set_never_used(static_cast<std::uint32_t>(facts.ledger.never_used_size()));
    const v1::BakeRecord& record = facts.images.baked().record();
    counts.set_baked_bytes(bytes_of(record, {}));
    Names unused;
    for (const v1::LedgerImage& image : facts.ledger.never_used())
        unused.emplace(image.name(), image.platform());
    // The bytes that would be saved if they were not baked.
    counts.set_never_used_bytes(counts.baked_bytes() - bytes_of(record, unused));
    return counts;
}

v1::ImageState state_document(const guard::ImageHealth& image, std::uint64_t starts) {
    v1::ImageState state;
    state.set_name(image.name);
    state.set_namespace_(image.ns);
    state.set_platform(image.platform);
    state.set_digest(image.digest);
    state.set_state(state_of(image));
    state.set_pinned(image.wants_pin && image.is_kept() && image.is_present &&
                     !image.is_unpinned_by_budget);
    state.set_sandbox(image.is_sandbox);
    state.set_bytes(image.bytes);
    state.set_starts(starts);
    state.set_message(image.problem);
    state.set_next_step(image.next_step);
    if (!image.problem.empty()) return state;
    if (image.is_evicted) {
        state.set_message("unpinned to leave room on the disk, then deleted");
    } else if (image.is_other_platform) {
        state.set_message("for another platform than this machine's");
    } else if (image.is_unpinned_by_budget) {
        state.set_message("unpinned to leave room on the disk");
    }
    return state;
}

std::string claim_word(v1::Claim::State state) {
    std::string word = v1::Claim::State_Name(state);
    std::transform(word.begin(), word.end(), word.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return word;
}

void add_images(const StatusFacts& facts, v1::NodeStatus& status) {
    std::vector<const guard::ImageHealth*> images;
    for (const guard::ImageHealth& image : facts.node.images) images.push_back(&image);
    const auto rank_of = [](const guard::ImageHealth* image) {
        if (image->is_other_platform) return 1;
        if (image->is_removed) return 1;
        if (!image->is_usable() || image->is_evicted) return 0;
        return image->problem.empty() && !image->is_unpinned_by_budget && !image->is_repaired ? 2
                                                                                              : 1;
    };
    std::stable_sort(images.begin(), images.end(),
                     [&](const auto* a, const auto* b) { return rank_of(a) < rank_of(b); });
    for (const guard::ImageHealth* image : images) {
        *status.add_images() = state_document(*image, facts.starts(*image));
    }
    status.set_images_total(static_cast<std::uint32_t>(images.size()));
}

void add_hydration(const StatusFacts& facts, v1::NodeStatus& status) {
    const auto hydration = node_hydration(facts.node.hydration);
    if (!hydration) return;
    *status.mutable_hydration() = *hydration;
    std::string advice =
        pull_advice(*hydration, facts.images.baked().record(), status.counts().baked_bytes());
    if (!advice.empty()) status.add_warnings(std::move(advice));
}

}  // namespace

std::string state_of(const guard::ImageHealth& image) {
    if (image.is_other_platform) return "other_platform";
    if (image.is_evicted) return "evicted";
    if (image.is_removed) return "removed";
    if (!image.is_usable()) return "unusable";
    if (image.is_moved) return "moved";
    return image.is_repaired ? "repaired" : "usable";
}

v1::NodeStatus status_document(const StatusFacts& facts) {
    v1::NodeStatus status;
    status.set_schema("prebake.v1.NodeStatus");
    status.set_verdict(facts.verdict.word);
    status.set_message(facts.verdict.message);
    status.set_ready(facts.verdict.is_ready);
    for (const v1::Condition& condition : facts.conditions) *status.add_conditions() = condition;
    const v1::Claim& claim = facts.node.identity.claim;
    *status.mutable_instance() = claim.instance();
    status.set_claim(claim_word(claim.state()));
    status.set_containerd_version(facts.containerd_version);
    status.set_snapshotter(facts.node.snapshotter);
    status.set_sandbox_image(facts.node.sandbox_image);
    *status.mutable_counts() = counts_of(facts);
    *status.mutable_boot() = facts.ledger.boot();
    *status.mutable_since_claim() = facts.ledger.since_claim();
    *status.mutable_times() = facts.times;
    add_images(facts, status);
    for (const v1::Repair& repair : facts.log.repairs()) *status.add_repairs() = repair;
    status.set_repairs_total(static_cast<std::uint32_t>(facts.log.repairs_total()));
    for (std::string& warning : facts.log.warnings()) {
        status.add_warnings(std::move(warning));
    }
    add_hydration(facts, status);
    if (facts.ledger.has_first_starts()) {
        *status.mutable_first_starts() = facts.ledger.first_starts();
    }
    status.set_source("daemon");
    *status.mutable_updated_at() = to_timestamp(facts.now);
    status.set_boot_id(facts.boot_id);
    status.set_prebake_version(facts.prebake_version);
    return status;
}

}  // namespace prebake::report
