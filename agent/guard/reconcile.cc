#include "agent/guard/reconcile.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/problem.h"
#include "agent/base/timestamp.h"
#include "agent/store/names.h"
#include "agent/store/verify.h"

namespace prebake::guard {
namespace {

using store::Finding;
using Findings = std::vector<Finding>;

/// How the repair of an image ended.
struct Attempt {
    std::optional<Error> problem;  ///< nothing: it succeeded
    std::optional<RetryCause> retry = {};
};

/// Nothing if the same repair cannot succeed later, unless an event reports a change.
std::optional<RetryCause> retry_after(Errc code) {
    if (code == Errc::conflict) return RetryCause::bake_runs;
    if (code == Errc::no_space) return RetryCause::disk_full;
    // failed_precondition: CRI does not know the image. It tries again by itself.
    if (is_retryable(code) || code == Errc::io || code == Errc::failed_precondition) {
        return RetryCause::other;
    }
    return {};
}

class Reconciler {
  public:
    explicit Reconciler(const Reconciliation& job) : job_(job) {}

    Reconciled run() {
        const Time checked_at = job_.clock().wall;
        const Findings before = find(job_.wanted);
        for (const Finding& finding : before) {
            if (finding.kind == store::FindingKind::unreadable) {
                result_.to_retry.emplace(key_of(finding), RetryCause::not_checked);
            }
        }
        Findings to_repair;
        for (Finding& finding : repairable_of(job_.wanted, before)) {
            if (is_allowed(key_of(finding))) to_repair.push_back(std::move(finding));
        }
        if (to_repair.empty()) {
            result_.images = health_of(job_.wanted, before);
            for (ImageHealth& image : result_.images) image.checked_at = checked_at;
            return std::move(result_);
        }
        for (const Finding& finding : to_repair) broken_.insert(key_of(finding));
        const v1::BakeRecord broken = broken_part();
        repair(broken, before, to_repair);

        const Time checked_again_at = job_.clock().wall;
        Findings after = find(broken);
        report(to_repair, after);
        std::copy_if(before.begin(), before.end(), std::back_inserter(after),
                     [&](const Finding& finding) { return !broken_.contains(key_of(finding)); });
        result_.images = health_of(job_.wanted, after);
        for (ImageHealth& image : result_.images) {
            explain(image);
            const bool was_broken = broken_.contains(image.key());
            image.checked_at = was_broken ? checked_again_at : checked_at;
        }
        return std::move(result_);
    }

  private:
    Findings find(const v1::BakeRecord& record) const {
        return job_.repairer.verify(record, job_.snapshotters);
    }

    bool is_allowed(const ImageKey& key) {
        const auto known = allowed_.find(key);
        if (known != allowed_.end()) return known->second;
        const bool is_allowed = job_.may_repair(key);
        allowed_.emplace(key, is_allowed);
        if (!is_allowed) result_.to_retry.emplace(key, RetryCause::not_allowed);
        return is_allowed;
    }

    v1::BakeRecord broken_part() const {
        v1::BakeRecord part;
        for (const v1::BakedImage& image : job_.wanted.images()) {
            v1::BakedImage copy = image;
            copy.clear_placements();
            for (const v1::Placement& placement : image.placements()) {
                if (!broken_.contains(store::key_of(image, placement))) continue;
                *copy.add_placements() = placement;
            }
            if (!copy.placements().empty()) *part.add_images() = std::move(copy);
        }
        return part;
    }

    void repair(const v1::BakeRecord& broken, const Findings& before, const Findings& to_repair) {
        RepairProgress progress{.total = static_cast<std::size_t>(broken.images_size()),
                                .snapshotter = {},
                                .images = health_of(job_.wanted, before)};
        const auto unpacking =
            std::find_if(to_repair.begin(), to_repair.end(), [](const Finding& finding) {
                return finding.kind == store::FindingKind::snapshot_missing;
            });
        if (unpacking != to_repair.end()) {
            progress.is_unpacking = true;
            progress.snapshotter = snapshotter_of(unpacking->ns);
        }
        for (const v1::BakedImage& image : broken.images()) {
            job_.on_progress(progress);
            const Attempt attempt = restore(image);
            for (const v1::Placement& placement : image.placements()) {
                const ImageKey key = store::key_of(image, placement);
                attempts_[key] = attempt;
                if (attempt.retry) result_.to_retry.insert_or_assign(key, *attempt.retry);
            }
            ++progress.done;
        }
    }

    Attempt restore(const v1::BakedImage& image) const {
        try {
            job_.repairer.restore(image, job_.snapshotters, job_.pinned);
            return {.problem = {}};
        } catch (const Error& error) {
            // The other images would fail for the same reason.
            if (containerd::ends_session(error)) throw;
            return {.problem = error, .retry = retry_after(error.code())};
        }
    }

    std::string snapshotter_of(const std::string& ns) const {
        const auto found = job_.snapshotters.find(ns);
        return found == job_.snapshotters.end() ? "its snapshotter" : found->second;
    }

    /// Adds a v1::Repair for each image and namespace that was tried.
    void report(const Findings& before, const Findings& after) {
        for (const ImageKey& key : broken_) {
            Findings repaired;
            std::copy_if(
                before.begin(), before.end(), std::back_inserter(repaired),
                [&](const Finding& finding) {
                    return key_of(finding) == key &&
                           std::none_of(after.begin(), after.end(), [&](const Finding& left) {
                               return left.kind == finding.kind && key_of(left) == key &&
                                      left.subject == finding.subject;
                           });
                });
            if (std::ranges::any_of(repaired, [](const Finding& finding) {
                    return finding.kind == store::FindingKind::name_missing;
                })) {
                result_.named_again.insert(key);
            }
            note_restored(key, repaired);
            v1::Repair& repair = result_.repairs.emplace_back();
            *repair.mutable_at() = to_timestamp(job_.clock().wall);
            repair.set_image(key.image);
            repair.set_namespace_(key.ns);
            repair.set_platform(key.platform);
            repair.set_what(repair_of(repaired, snapshotter_of(key.ns)));
            repair.set_why(job_.why(key));
            if (const auto problem = problem_of_attempt(key, after)) {
                *repair.mutable_problem() = problem_of(*problem);
            }
        }
    }

    /// If the attempt failed, somebody else brought back what is there now.
    void note_restored(const ImageKey& key, const Findings& repaired) {
        const auto attempt = attempts_.find(key);
        if (attempt == attempts_.end() || attempt->second.problem) return;
        for (const Finding& finding : repaired) {
            const bool is_part = finding.kind == store::FindingKind::name_missing ||
                                 finding.kind == store::FindingKind::blob_missing ||
                                 finding.kind == store::FindingKind::blob_damaged ||
                                 finding.kind == store::FindingKind::snapshot_missing;
            if (is_part) result_.restored[key.ns].insert(finding.subject);
        }
    }

    std::optional<Error> problem_of_attempt(const ImageKey& key, const Findings& after) const {
        if (const auto attempt = attempts_.find(key);
            attempt != attempts_.end() && attempt->second.problem) {
            return attempt->second.problem;
        }
        for (const Finding& left : repairable_of(job_.wanted, after)) {
            if (key_of(left) != key) continue;
            return Error(Errc::failed_precondition, left.object + " still: " + left.found,
                         left.next_step);
        }
        return {};
    }

    /// The error of the attempt explains more than the finding that is left.
    void explain(ImageHealth& image) const {
        const auto attempt = attempts_.find(image.key());
        if (attempt == attempts_.end() || !attempt->second.problem || image.problem.empty()) return;
        image.problem = attempt->second.problem->message();
        if (!attempt->second.problem->next_step().empty()) {
            image.next_step = attempt->second.problem->next_step();
        }
    }

    const Reconciliation& job_;
    Reconciled result_;
    std::map<ImageKey, bool> allowed_;
    std::set<ImageKey> broken_;
    std::map<ImageKey, Attempt> attempts_;
};

}  // namespace

Reconciled reconcile(const Reconciliation& job) {
    return Reconciler(job).run();
}

}  // namespace prebake::guard
