#include "agent/guard/engine_guard.h"

#include <algorithm>

#include "agent/base/problem.h"
#include "agent/store/names.h"
#include "agent/store/placements.h"
#include "agent/store/record.h"

namespace prebake::guard {
namespace {

std::string config_of(const v1::BakeRecord& record, const ImageKey& key) {
    for (const v1::BakedImage& image : record.images()) {
        if (image.name() == key.image && image.platform() == key.platform)
            return image.config().digest();
    }
    return {};
}

}  // namespace

void EngineGuard::set_record(v1::BakeRecord record) {
    const std::string before = record_.SerializeAsString();
    record_ = std::move(record);
    if (record_.SerializeAsString() == before) return;
    health_.clear();
    not_restorable_.clear();
    seen_.clear();
    repaired_.clear();
    is_checked_ = record_.images().empty();
}

std::vector<LostTag> EngineGuard::judge(const std::vector<store::Finding>& findings,
                                        Time checked_at) {
    health_ = health_of(record_, findings);
    is_checked_ = true;
    std::vector<LostTag> to_restore;
    for (ImageHealth& image : health_) {
        const ImageKey key = image.key();
        image.checked_at = checked_at;
        image.wants_pin = false;  // dockerd has no pins
        image.is_repaired = repaired_.contains(key);
        const std::vector<LostTag> lost = lost_tags(findings, image);
        if (lost.empty()) {
            images_.set_removed(key, false);
            if (image.problem.empty()) {
                seen_.insert(key);
                log_.forget_failures(key);
            }
            continue;
        }
        if (images_.is_restored(key)) note_removed(key);
        image.is_removed = images_.removed().contains(key);
        if (image.is_removed) {
            image.problem = kRemoved;
            continue;
        }
        for (const LostTag& tag : lost) {
            if (!not_restorable_.contains({key, tag.name})) to_restore.push_back(tag);
        }
    }
    return to_restore;
}

void EngineGuard::judge_absent() {
    health_.clear();
    is_checked_ = true;
    for (const v1::BakedImage& image : record_.images()) {
        for (const v1::Placement& placement : image.placements()) {
            const ImageKey key = store::key_of(image, placement);
            health_.push_back(
                {.name = key.image,
                 .ns = key.ns,
                 .platform = key.platform,
                 .digest = image.target().digest(),
                 .is_present = false,
                 .is_other_platform = !store::runs_here(key.platform),
                 .problem = "dockerd does not use the graph driver " + placement.graph_driver(),
                 .next_step = store::how_to_bake_again(image, key.ns)});
        }
    }
}

std::vector<LostTag> EngineGuard::lost_tags(const std::vector<store::Finding>& findings,
                                            const ImageHealth& image) const {
    std::vector<LostTag> lost;
    for (const store::Finding& finding : findings) {
        if (finding.kind != store::FindingKind::name_missing || key_of(finding) != image.key())
            continue;
        // With its last tag the digest went, too; the tag comes first.
        if (store::is_name_by_digest(finding.subject) && !store::is_name_by_digest(image.name)) {
            continue;
        }
        lost.push_back({.key = image.key(),
                        .image_id = config_of(record_, image.key()),
                        .name = finding.subject});
    }
    return lost;
}

void EngineGuard::note_removed(const ImageKey& key) {
    if (images_.removed().contains(key)) return;
    images_.set_removed(key, true);
    log_.note(Severity::info, key.image + " was removed from Docker on purpose, and is left so");
}

void EngineGuard::tagged(const LostTag& tag, const std::optional<Error>& problem) {
    if (problem) {
        const bool is_gone = problem->code() == Errc::not_found;
        // What was there, and is gone with all its layers, was removed by somebody.
        if (is_gone && seen_.contains(tag.key)) {
            images_.set_restored(tag.key);
            return;
        }
        if (!not_restorable_.emplace(tag.key, tag.name).second) return;
    } else {
        images_.set_restored(tag.key);
        repaired_.insert(tag.key);
    }
    v1::Repair repair;
    *repair.mutable_at() = to_timestamp(clock_().wall);
    repair.set_image(tag.key.image);
    repair.set_namespace_(tag.key.ns);
    repair.set_platform(tag.key.platform);
    repair.set_why("deleted");
    if (problem) {
        *repair.mutable_problem() = problem_of(*problem);
    } else {
        repair.set_what("recreated the name");
    }
    log_.add(std::move(repair));
}

}  // namespace prebake::guard
