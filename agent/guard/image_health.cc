#include "agent/guard/image_health.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "agent/store/names.h"
#include "agent/store/record.h"

namespace prebake::guard {
namespace {

using store::Finding;
using store::FindingKind;

/// The order in which findings are reported: those that explain others come first.
constexpr std::array kByWeight{
    FindingKind::blob_missing,   FindingKind::blob_damaged,       FindingKind::snapshot_missing,
    FindingKind::tree_damaged,   FindingKind::name_missing,       FindingKind::unmanaged,
    FindingKind::cri_unresolved, FindingKind::cri_other_platform, FindingKind::unreadable,
    FindingKind::unpinned,       FindingKind::reference_missing,  FindingKind::untrusted,
    FindingKind::digest_lost,    FindingKind::signature_lost,     FindingKind::pin_ignored,
    FindingKind::name_moved};

std::ptrdiff_t weight_of(FindingKind kind) {
    return std::find(kByWeight.begin(), kByWeight.end(), kind) - kByWeight.begin();
}

std::set<std::string> subjects(const std::vector<const Finding*>& findings, FindingKind kind) {
    std::set<std::string> found;
    for (const Finding* finding : findings) {
        if (finding->kind == kind) found.insert(finding->subject);
    }
    return found;
}

bool has_kind(const std::vector<const Finding*>& findings, FindingKind kind) {
    return std::any_of(findings.begin(), findings.end(),
                       [&](const Finding* finding) { return finding->kind == kind; });
}

/// True if every tag points to another image now.
bool is_abandoned(const v1::Placement& placement, const std::set<std::string>& moved) {
    if (moved.empty()) return false;
    const auto& names = placement.names();
    return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        return store::is_name_by_digest(name) || moved.contains(name);
    });
}

/// Judges one image in one namespace by its findings.
class Judge {
  public:
    Judge(const v1::BakedImage& image, const v1::Placement& placement,
          std::vector<const Finding*> findings)
        : image_(image), placement_(placement), findings_(std::move(findings)) {
        std::stable_sort(findings_.begin(), findings_.end(),
                         [](const Finding* a, const Finding* b) {
                             return weight_of(a->kind) < weight_of(b->kind);
                         });
    }

    ImageHealth judge() {
        ImageHealth health{
            .name = image_.name(),
            .ns = placement_.namespace_(),
            .platform = image_.platform(),
            .digest = image_.target().digest(),
            .wants_pin = placement_.pinned(),
            .wants_unpacked = placement_.unpacked(),
            .wants_cri = store::is_for_cri(image_, placement_),
            .is_other_platform = !placement_.cri_resolves() && !store::runs_here(image_.platform()),
            .problem = {},
            .next_step = {}};
        for (const v1::Layer& layer : image_.layers()) health.bytes += layer.size();
        const std::set<std::string> moved = subjects(findings_, FindingKind::name_moved);
        health.is_moved = !moved.empty();
        if (is_abandoned(placement_, moved)) {
            health.is_abandoned = true;
            explain(health,
                    **std::find_if(findings_.begin(), findings_.end(), [](const Finding* f) {
                        return f->kind == FindingKind::name_moved;
                    }));
            return health;
        }
        for (const Finding* finding : findings_) {
            if (finding->kind != FindingKind::name_moved && moved.contains(finding->subject)) {
                continue;
            }
            if (health.problem.empty() && !store::is_about_machine(finding->kind)) {
                explain(health, *finding);
            }
            weigh(health, *finding);
        }
        return health;
    }

  private:
    static void explain(ImageHealth& health, const Finding& finding) {
        health.problem = finding.object + ": " + finding.found;
        if (!finding.expected.empty()) health.problem += ", expected " + finding.expected;
        health.next_step = finding.next_step;
    }

    void weigh(ImageHealth& health, const Finding& finding) const {
        switch (finding.kind) {
            case FindingKind::name_missing:
                health.is_present = false;
                health.is_pinned = false;
                return;
            case FindingKind::blob_missing:
            case FindingKind::blob_damaged:
                health.is_complete = false;
                if (is_needed(finding.subject)) health.is_present = false;
                return;
            case FindingKind::snapshot_missing:
            case FindingKind::tree_damaged:  // what is unpacked is not the image
                health.is_unpacked = false;
                return;
            case FindingKind::unmanaged:
            case FindingKind::cri_unresolved:
                health.is_resolved = false;
                return;
            case FindingKind::pin_ignored:
                health.is_pin_ignored = true;
                return;
            case FindingKind::cri_other_platform:
                health.is_other_platform = true;
                return;
            case FindingKind::unpinned:
            case FindingKind::reference_missing:
                health.is_pinned = false;
                return;
            case FindingKind::unreadable:
                weigh_failed(health, finding.check);
                return;
            case FindingKind::untrusted:
                health.is_present = false;
                return;
            case FindingKind::signature_lost:
            case FindingKind::digest_lost:
                health.is_complete = false;
                return;
            case FindingKind::name_moved:
                return;
        }
    }

    /// A check that failed counts against what it was about.
    static void weigh_failed(ImageHealth& health, store::Check check) {
        switch (check) {
            case store::Check::holdings:  // the other checks did not run
                health.is_present = false;
                health.is_unpacked = false;
                health.is_pinned = false;
                health.is_resolved = false;
                health.is_complete = false;
                return;
            case store::Check::names:
            case store::Check::references:
                health.is_present = false;
                health.is_pinned = false;
                return;
            case store::Check::blobs:
                health.is_present = false;
                health.is_complete = false;
                return;
            case store::Check::snapshots:
            case store::Check::trees:
                health.is_unpacked = false;
                return;
            case store::Check::cri:
                health.is_resolved = false;
                return;
            case store::Check::signatures:
                return;
        }
    }

    /// Containers start from snapshots: the blob of an unpacked layer is not read again.
    bool is_needed(const std::string& blob) const {
        if (!placement_.unpacked() || has_kind(findings_, FindingKind::snapshot_missing)) {
            return true;
        }
        const auto& layers = image_.layers();
        return std::none_of(layers.begin(), layers.end(),
                            [&](const v1::Layer& layer) { return layer.digest() == blob; });
    }

    const v1::BakedImage& image_;
    const v1::Placement& placement_;
    std::vector<const Finding*> findings_;
};

std::string words_for(FindingKind kind, const std::string& snapshotter) {
    switch (kind) {
        case FindingKind::name_missing:
            return "recreated the name";
        case FindingKind::unmanaged:
            return "marked the name as CRI's own";
        case FindingKind::unpinned:
            return "pinned again";
        case FindingKind::blob_missing:
        case FindingKind::blob_damaged:
            return "took content over from another namespace";
        case FindingKind::reference_missing:
            return "protected its content from garbage collection";
        case FindingKind::snapshot_missing:
            return "unpacked into " + snapshotter + " from its layers";
        case FindingKind::cri_unresolved:
            return "made CRI know it";
        case FindingKind::tree_damaged:
        case FindingKind::untrusted:
        case FindingKind::digest_lost:
        case FindingKind::signature_lost:
        case FindingKind::cri_other_platform:
        case FindingKind::pin_ignored:
        case FindingKind::name_moved:
        case FindingKind::unreadable:
            return {};
    }
    return {};
}

}  // namespace

store::ImageKey key_of(const Finding& finding) {
    return {.image = finding.image, .ns = finding.ns, .platform = finding.platform};
}

std::vector<ImageHealth> health_of(const v1::BakeRecord& record,
                                   const std::vector<Finding>& findings) {
    std::vector<ImageHealth> images;
    for (const v1::BakedImage& image : record.images()) {
        for (const v1::Placement& placement : image.placements()) {
            std::vector<const Finding*> own;
            for (const Finding& finding : findings) {
                if (finding.image == image.name() && finding.ns == placement.namespace_() &&
                    finding.platform == image.platform()) {
                    own.push_back(&finding);
                }
            }
            images.push_back(Judge(image, placement, std::move(own)).judge());
        }
    }
    return images;
}

StoreVerdict judge(const v1::BakeRecord& record, const std::vector<Finding>& findings) {
    std::set<std::string> recorded;
    for (const v1::BakedImage& image : record.images()) recorded.insert(image.name());
    bool is_degraded = false;
    for (const Finding& finding : findings) {
        if (store::is_about_machine(finding.kind)) continue;
        // An image that this machine's rules refuse must not be started.
        const bool is_refused = finding.kind == FindingKind::untrusted;
        if (is_refused || !recorded.contains(finding.image)) return StoreVerdict::not_usable;
        is_degraded = true;
    }
    for (const ImageHealth& image : health_of(record, findings)) {
        if (image.is_needed() && !image.is_usable()) return StoreVerdict::not_usable;
    }
    return is_degraded ? StoreVerdict::degraded : StoreVerdict::as_baked;
}

bool is_repairable(const Finding& finding) {
    switch (finding.kind) {
        case FindingKind::name_missing:
        case FindingKind::unmanaged:
        case FindingKind::unpinned:
        case FindingKind::blob_missing:
        case FindingKind::blob_damaged:
        case FindingKind::reference_missing:
        case FindingKind::snapshot_missing:
        case FindingKind::cri_unresolved:
            return true;
        case FindingKind::tree_damaged:  // only after the snapshot is removed
        case FindingKind::untrusted:
        case FindingKind::digest_lost:
        case FindingKind::signature_lost:
        case FindingKind::cri_other_platform:
        case FindingKind::pin_ignored:
        case FindingKind::name_moved:
        case FindingKind::unreadable:
            return false;
    }
    return false;
}

std::vector<Finding> repairable_of(const v1::BakeRecord& record,
                                   const std::vector<Finding>& findings) {
    std::map<store::ImageKey, std::set<std::string>> moved;
    for (const Finding& finding : findings) {
        if (finding.kind != FindingKind::name_moved) continue;
        moved[key_of(finding)].insert(finding.subject);
    }
    std::set<store::ImageKey> abandoned;
    for (const v1::BakedImage& image : record.images()) {
        for (const v1::Placement& placement : image.placements()) {
            const store::ImageKey key = store::key_of(image, placement);
            const auto own = moved.find(key);
            if (own != moved.end() && is_abandoned(placement, own->second)) abandoned.insert(key);
        }
    }
    std::vector<Finding> repairable;
    std::copy_if(findings.begin(), findings.end(), std::back_inserter(repairable),
                 [&](const Finding& finding) {
                     const store::ImageKey key = key_of(finding);
                     const auto own = moved.find(key);
                     const bool is_moved =
                         own != moved.end() && own->second.contains(finding.subject);
                     return is_repairable(finding) && !is_moved && !abandoned.contains(key);
                 });
    return repairable;
}

std::string repair_of(const std::vector<Finding>& repaired, const std::string& snapshotter) {
    std::set<FindingKind> kinds;
    for (const Finding& finding : repaired) kinds.insert(finding.kind);
    std::string words;
    for (const FindingKind kind : kByWeight) {
        // CRI finds an image by its names, so this is only worth saying alone.
        if (kind == FindingKind::cri_unresolved && kinds.size() > 1) continue;
        if (!kinds.contains(kind)) continue;
        const std::string more = words_for(kind, snapshotter);
        if (more.empty()) continue;
        if (!words.empty()) words += ", ";
        words += more;
    }
    return words;
}

}  // namespace prebake::guard
