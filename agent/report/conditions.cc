#include "agent/report/conditions.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "agent/base/format.h"
#include "agent/base/timestamp.h"
#include "agent/report/hydration_condition.h"
#include "agent/report/judgement.h"
#include "agent/store/names.h"
#include "agent/store/placements.h"

namespace prebake::report {
namespace {

constexpr const char* kPinsIgnored = "PinsIgnored";
std::string and_more(std::size_t count) {
    return count > 1 ? " (and " + std::to_string(count - 1) + " more)" : "";
}

std::string called(const guard::ImageHealth& image) {
    return image.name + " in " + image.ns;
}

using Images = std::vector<const guard::ImageHealth*>;

Images all_those(const NodeFacts& facts,
                 const std::function<bool(const guard::ImageHealth&)>& which) {
    Images images;
    for (const guard::ImageHealth& image : facts.images) {
        if (which(image)) images.push_back(&image);
    }
    return images;
}

/// The images that this node needs: without evicted ones, those whose tags are all elsewhere now,
/// those that somebody removed, and those that it does not run.
Images those(const NodeFacts& facts, const std::function<bool(const guard::ImageHealth&)>& which) {
    return all_those(facts, [&](const guard::ImageHealth& image) {
        return !image.is_evicted && image.is_needed() && which(image);
    });
}

/// An image in two namespaces is one image; for two platforms it is two.
std::size_t number_of(const Images& images) {
    std::set<std::pair<std::string_view, std::string_view>> counted;
    for (const guard::ImageHealth* image : images) counted.emplace(image->name, image->platform);
    return counted.size();
}

/// The message names the first image with a problem, and the number of the others.
Judgement first_problem(const Images& images, std::string reason, const std::string& what,
                        const std::string& else_next_step) {
    const guard::ImageHealth& first = *images.front();
    const std::string why = first.problem.empty() ? "" : ": " + first.problem;
    return {.status = kFalse,
            .reason = std::move(reason),
            .message = called(first) + and_more(number_of(images)) + " " + what + why,
            .next_step = first.next_step.empty() ? else_next_step : first.next_step};
}

/// The condition concerns no image: nothing was checked.
Judgement not_wanted(const std::string& what) {
    return {.status = kNotApplicable, .reason = "NotWanted", .message = "no image " + what};
}

Judgement waits_for_us(const char* status, const std::string& problem) {
    return {.status = status,
            .reason = "WaitsForUs",
            .message = problem,
            .next_step =
                "remove that order, then: systemctl daemon-reload && systemctl reload prebaked"};
}

Judgement serving(const NodeFacts& facts) {
    if (!facts.needs_containerd) return not_wanted("is in containerd");
    if (facts.is_serving) {
        return {.status = kTrue, .reason = "Serving", .message = "containerd answers"};
    }
    if (!facts.order_problems.containerd.empty()) {
        return waits_for_us(kFalse, facts.order_problems.containerd);
    }
    return {.status = kFalse,
            .reason = "NotAnswering",
            .message = facts.serving_problem.empty() ? "containerd was not asked yet"
                                                     : facts.serving_problem,
            .next_step = "see why with: systemctl status containerd"};
}

/// Why nothing can be said of the images; nothing if it can.
std::optional<Judgement> unchecked(const NodeFacts& facts) {
    if (facts.is_reconciled) return {};
    std::string message = "the images are being checked";
    if (facts.needs_containerd && !facts.is_serving) {
        message = "the images are checked when containerd answers";
    } else if (!facts.docker.is_checked && !facts.docker.is_answering) {
        message = "the images in Docker are checked when dockerd answers" +
                  (facts.docker.problem.empty() ? "" : ": " + facts.docker.problem);
    }
    return Judgement{.status = kUnknown, .reason = "NotChecked", .message = message};
}

Judgement no_record(const NodeFacts& facts, const char* status) {
    return {.status = status,
            .reason = "RecordUnreadable",
            .message = facts.record_problem,
            .next_step = "restore /var/lib/prebake/bake.json, or bake the images again"};
}

/// On a machine without baked images, CRI pulls its sandbox image as usual. This is reported, but
/// units that wait for baked images must not wait for it.
Judgement nothing_baked(const NodeFacts& facts) {
    const std::string sandbox = facts.is_sandbox_missing
                                    ? ", and CRI will pull its sandbox image " + facts.sandbox_image
                                    : "";
    return {.status = kTrue,
            .reason = "NothingBaked",
            .message = "no image was baked on this machine" + sandbox,
            .next_step = "prebake bake -f LIST"};
}

/// All at once: not an image is missing, but what they were in.
Judgement nothing_left(const NodeFacts& facts, std::size_t missing) {
    const std::string where =
        facts.content_directory.empty() ? "" : " (" + facts.content_directory + ")";
    return {.status = kFalse,
            .reason = "NothingLeft",
            .message = "none of the " + counted(missing, "baked image") +
                       " is in containerd's store any more" + where +
                       ": its data were removed, or another disk is mounted there",
            .next_step =
                "mount the disk that was baked and restart containerd, or bake again: "
                "prebake bake -f LIST"};
}

bool is_record_missing(const NodeFacts& facts) {
    return facts.recorded == 0 && facts.identity.claim.seal().baked_images() > 0;
}

Judgement record_missing(const NodeFacts& facts, const char* status) {
    return {.status = status,
            .reason = "RecordMissing",
            .message = "this machine's image was sealed with " +
                       counted(facts.identity.claim.seal().baked_images(), "baked image") +
                       ", and /var/lib/prebake/bake.json is gone: nothing keeps them usable",
            .next_step =
                "restore the file from the builder, or bake the images again: prebake "
                "bake -f LIST"};
}

/// What the other conditions of images have in common.
std::optional<Judgement> undecided(const NodeFacts& facts) {
    if (!facts.record_problem.empty()) return no_record(facts, kUnknown);
    if (auto judgement = unchecked(facts)) return judgement;
    if (is_record_missing(facts)) return record_missing(facts, kUnknown);
    return {};
}

/// "; 1 image is for another platform (linux/arm64)"
std::string not_for_here(const NodeFacts& facts) {
    const Images others =
        all_those(facts, [](const guard::ImageHealth& image) { return image.is_other_platform; });
    if (others.empty()) return {};
    const std::size_t number = number_of(others);
    return "; " + counted(number, "image") + (number == 1 ? " is" : " are") +
           " for another platform (" + others.front()->platform + ")";
}

/// All images are for other platforms. `status` is what that means for the condition.
Judgement other_platform(const NodeFacts& facts, const char* status) {
    return {.status = status,
            .reason = "OtherPlatform",
            .message =
                "no baked image runs on this machine: all are for " + facts.images.front().platform,
            .next_step =
                "bake for this machine's platform: prebake bake --platform PLATFORM -f "
                "LIST"};
}

bool is_all_of_other_platforms(const NodeFacts& facts) {
    return !facts.images.empty() &&
           std::all_of(facts.images.begin(), facts.images.end(),
                       [](const guard::ImageHealth& image) { return image.is_other_platform; });
}

bool has_any_for_pods(const NodeFacts& facts) {
    return std::any_of(
        facts.images.begin(), facts.images.end(),
        [](const guard::ImageHealth& image) { return image.ns == store::kCriNamespace; });
}

/// None of the images is for this node any more.
Judgement none_wanted(const NodeFacts& facts) {
    if (is_all_of_other_platforms(facts)) return other_platform(facts, kFalse);
    return {.status = kTrue,
            .reason = "NoneWanted",
            .message =
                "no baked image is wanted any more: their tags were moved, somebody removed "
                "them, or the pin budget gave them up" +
                not_for_here(facts)};
}

Judgement present(const NodeFacts& facts) {
    if (!facts.record_problem.empty()) return no_record(facts, kFalse);
    if (auto judgement = unchecked(facts)) return *judgement;
    if (is_record_missing(facts)) return record_missing(facts, kFalse);
    if (facts.images.empty()) return nothing_baked(facts);
    const Images missing =
        those(facts, [](const guard::ImageHealth& image) { return !image.is_present; });
    const Images all = those(facts, [](const guard::ImageHealth&) { return true; });
    if (all.empty()) return none_wanted(facts);
    if (missing.size() > 1 && missing.size() == all.size()) {
        return nothing_left(facts, number_of(missing));
    }
    const auto sandbox =
        std::find_if(missing.begin(), missing.end(),
                     [](const guard::ImageHealth* image) { return image->is_sandbox; });
    // On a Docker or ECS host CRI has one configured, too, and no pod ever wants it.
    const bool is_unlisted_missing = facts.is_sandbox_missing && has_any_for_pods(facts);
    if (is_unlisted_missing || sandbox != missing.end()) {
        const std::string& name = is_unlisted_missing ? facts.sandbox_image : (*sandbox)->name;
        return {.status = kFalse,
                .reason = "SandboxImageMissing",
                .message = "no pod can start without a pull: CRI's sandbox image " + name +
                           " is not there" + (missing.empty() ? "" : ", nor are all baked images"),
                .next_step = "prebake bake " + name};
    }
    if (!missing.empty())
        return first_problem(missing, "ImagesMissing", "is not complete", "prebake verify");
    return {.status = kTrue,
            .reason = "AllPresent",
            .message = counted(number_of(all), "image") + " with " +
                       (number_of(all) == 1 ? "its" : "their") +
                       " names and the content that containers need" + not_for_here(facts)};
}

/// Whether the store is as it was baked, needed or not: prebake verify asks the same.
Judgement intact(const NodeFacts& facts) {
    if (auto judgement = undecided(facts)) return *judgement;
    if (facts.images.empty()) return not_wanted("was baked");
    const Images incomplete = all_those(facts, [](const guard::ImageHealth& image) {
        return !image.is_evicted && !image.is_abandoned && !image.is_removed && !image.is_complete;
    });
    if (!incomplete.empty()) {
        return first_problem(incomplete, "ContentMissing", "lacks content that was baked",
                             "prebake verify --repair");
    }
    const Images moved =
        all_those(facts, [](const guard::ImageHealth& image) { return image.is_moved; });
    if (!moved.empty()) {
        return {.status = kFalse,
                .reason = "TagMoved",
                .message = "a client moved the tags of " + counted(number_of(moved), "image") +
                           ", first of " + called(*moved.front()),
                .next_step = "to bake what the tags point to now: prebake bake -f LIST"};
    }
    const Images removed =
        all_those(facts, [](const guard::ImageHealth& image) { return image.is_removed; });
    if (!removed.empty()) {
        return {.status = kFalse,
                .reason = "Removed",
                .message = counted(number_of(removed), "image") + ", first of all " +
                           called(*removed.front()) + ": " + guard::kRemoved,
                .next_step = removed.front()->next_step.empty() ? "prebake bake -f LIST"
                                                                : removed.front()->next_step};
    }
    return {.status = kTrue,
            .reason = "AsBaked",
            .message = "every image has the content and the tags that it was baked with"};
}

Judgement unpacked(const NodeFacts& facts) {
    const Images wanted =
        those(facts, [](const guard::ImageHealth& image) { return image.wants_unpacked; });
    if (auto judgement = undecided(facts)) return *judgement;
    if (wanted.empty()) return not_wanted("is to be unpacked");
    const Images packed = those(facts, [](const guard::ImageHealth& image) {
        return image.wants_unpacked && !image.is_unpacked;
    });
    const std::string where =
        facts.snapshotter.empty() ? "" : " in the snapshotter " + facts.snapshotter;
    if (!packed.empty()) {
        return first_problem(packed, "NotUnpacked", "is not unpacked" + where, "prebake verify");
    }
    return {.status = kTrue, .reason = "Unpacked", .message = "every image is unpacked" + where};
}

Judgement pinned(const NodeFacts& facts) {
    if (auto judgement = undecided(facts)) return *judgement;
    const Images lost = those(facts, [](const guard::ImageHealth& image) {
        return image.wants_pin && !image.is_pinned && !image.is_unpinned_by_budget;
    });
    if (!lost.empty()) return first_problem(lost, "PinLost", "is not pinned", "prebake verify");
    const Images by_budget = all_those(facts, [](const guard::ImageHealth& image) {
        return image.is_unpinned_by_budget && !image.is_abandoned;
    });
    if (!by_budget.empty()) {
        return {.status = kFalse,
                .reason = "UnpinnedByBudget",
                .message = counted(number_of(by_budget), "image") +
                           " not pinned, to leave room on the disk",
                .next_step =
                    "give the disk more room, bake less, or change the limits in [guard] "
                    "of prebake.toml"};
    }
    const Images ignored =
        those(facts, [](const guard::ImageHealth& image) { return image.is_pin_ignored; });
    if (!ignored.empty()) {
        return {.status = kFalse,
                .reason = kPinsIgnored,
                .message = "this containerd ignores pins: the kubelet may delete " +
                           counted(number_of(ignored), "baked image") + " when the disk fills up",
                .next_step =
                    "upgrade containerd to 1.6.22, 1.7.3 or later; prebake kubelet-config "
                    "shows when the kubelet deletes images"};
    }
    if (those(facts, [](const guard::ImageHealth& image) { return image.wants_pin; }).empty()) {
        return not_wanted("asks for a pin");
    }
    return {
        .status = kTrue, .reason = "Pinned", .message = "every image that asks for it is pinned"};
}

/// Another program may serve CRI to the kubelet if the plugin is disabled, but not if it failed.
Judgement no_cri(const NodeFacts& facts, std::size_t images) {
    return {.status = facts.cri.has_failed ? kFalse : kUnknown,
            .reason = facts.cri.has_failed ? "CriFailed" : "CriDisabled",
            .message = "containerd serves no CRI, so it is not known whether pods find the " +
                       counted(images, "image") + " in k8s.io: " + facts.cri.problem,
            .next_step = facts.cri.next_step};
}

Judgement resolves(const NodeFacts& facts) {
    const Images wanted =
        those(facts, [](const guard::ImageHealth& image) { return image.wants_cri; });
    if (auto judgement = undecided(facts)) return *judgement;
    // CRI resolves names for this machine's platform alone.
    if (has_any_for_pods(facts) && is_all_of_other_platforms(facts))
        return other_platform(facts, kUnknown);
    if (wanted.empty()) return not_wanted("is for CRI (in namespace k8s.io)" + not_for_here(facts));
    if (!facts.is_serving) {
        return {.status = kUnknown,
                .reason = "NotAnswering",
                .message = "CRI answers only while containerd does"};
    }
    if (!facts.cri.answers) return no_cri(facts, number_of(wanted));
    const Images lost = those(facts, [](const guard::ImageHealth& image) {
        return image.wants_cri && !image.is_resolved;
    });
    if (!lost.empty())
        return first_problem(lost, "NotResolved", "would be pulled by CRI", "prebake verify");
    return {.status = kTrue,
            .reason = "Resolves",
            .message = "CRI finds every image by its names" + not_for_here(facts)};
}

/// Whether dockerd reads the images from where they were baked into.
Judgement matches(const NodeFacts& facts) {
    const DockerFacts& docker = facts.docker;
    if (!facts.record_problem.empty()) return no_record(facts, kUnknown);
    if (is_record_missing(facts)) return record_missing(facts, kUnknown);
    if (!docker.is_wanted) {
        return not_wanted("is for Docker (in namespace " + std::string(store::kDockerNamespace) +
                          ")");
    }
    if (!docker.is_answering) {
        if (!facts.order_problems.docker.empty()) {
            return waits_for_us(kUnknown, facts.order_problems.docker);
        }
        return {.status = kUnknown,
                .reason = "NotAnswering",
                .message = docker.problem.empty() ? "dockerd was not asked yet" : docker.problem,
                .next_step = docker.next_step.empty() ? "see why with: systemctl status docker"
                                                      : docker.next_step};
    }
    if (docker.mismatch) {
        return {.status = kFalse,
                .reason = "StoreMismatch",
                .message = docker.mismatch->message,
                .next_step = docker.mismatch->next_step};
    }
    return {.status = kTrue,
            .reason = "SameStore",
            .message = docker.store + " has the images where they were baked into"};
}

Judgement listening(const NodeFacts& facts) {
    if (facts.endpoint_problem.empty()) {
        return {.status = kTrue,
                .reason = "Listening",
                .message = "the endpoint listens wherever it is configured to"};
    }
    return {.status = kFalse,
            .reason = "NotListening",
            .message = facts.endpoint_problem,
            .next_step =
                "stop what has the port (ss -ltnp), or choose another report.listen; the daemon "
                "tries again. To have systemd take the port at the next boot: systemctl enable "
                "prebaked.socket"};
}

Judgement judge(std::string_view type, const NodeFacts& facts) {
    if (type == kContainerdServing) return serving(facts);
    if (type == kImagesPresent) return present(facts);
    if (type == kImagesUnpacked) return unpacked(facts);
    if (type == kImagesPinned) return pinned(facts);
    if (type == kCriResolves) return resolves(facts);
    if (type == kBakeIntact) return intact(facts);
    if (type == kStoreMatches) return matches(facts);
    if (type == kIdentityClaimed) return judge_claim(facts.identity);
    if (type == kSealIntact) return judge_seal(facts.identity);
    if (type == kEndpointListening) return listening(facts);
    return judge_hydration(facts.hydration);
}

/// Not met, and yet nothing is wrong with what was baked: the node is not degraded by it.
bool is_remark(const v1::Condition& condition) {
    if (condition.gates_readiness()) return false;
    // What this containerd lacks. prebake verify warns of it.
    if (condition.reason() == kPinsIgnored) return true;
    return condition.type() == kHydrated &&
           (condition.reason() == kHydratingReason || condition.reason() == kNotRunReason);
}

}  // namespace

const std::vector<std::string_view>& condition_types() {
    static const std::vector<std::string_view> types{
        kContainerdServing, kImagesPresent,     kImagesUnpacked, kImagesPinned,
        kCriResolves,       kBakeIntact,        kStoreMatches,   kIdentityClaimed,
        kSealIntact,        kEndpointListening, kHydrated};
    return types;
}

bool is_met(const v1::Condition& condition) {
    return condition.status() == kTrue || condition.status() == kNotApplicable;
}

std::vector<v1::Condition> evaluate(const NodeFacts& facts,
                                    const std::vector<v1::Condition>& before,
                                    const std::vector<std::string>& gates,
                                    std::chrono::system_clock::time_point now) {
    std::vector<v1::Condition> conditions;
    for (const std::string_view type : condition_types()) {
        Judgement judgement = judge(type, facts);
        v1::Condition& condition = conditions.emplace_back();
        condition.set_type(std::string(type));
        condition.set_status(std::move(judgement.status));
        condition.set_reason(std::move(judgement.reason));
        condition.set_message(std::move(judgement.message));
        condition.set_next_step(std::move(judgement.next_step));
        condition.set_gates_readiness(std::find(gates.begin(), gates.end(), type) != gates.end());
        const auto last = std::find_if(before.begin(), before.end(), [&](const v1::Condition& old) {
            return old.type() == type && old.status() == condition.status();
        });
        *condition.mutable_last_transition_time() =
            last == before.end() ? to_timestamp(now) : last->last_transition_time();
    }
    return conditions;
}

Verdict verdict_of(const std::vector<v1::Condition>& conditions, bool is_reconciled) {
    const v1::Condition* first_gate = nullptr;
    const v1::Condition* first_other = nullptr;
    std::size_t false_count = 0;
    for (const v1::Condition& condition : conditions) {
        if (is_met(condition) || is_remark(condition)) continue;
        ++false_count;
        const v1::Condition*& first = condition.gates_readiness() ? first_gate : first_other;
        if (first == nullptr) first = &condition;
    }
    const auto told = [&](const v1::Condition& condition) {
        return condition.type() + ": " + condition.message() + and_more(false_count);
    };
    if (!is_reconciled) {
        const v1::Condition* first = first_gate != nullptr ? first_gate : first_other;
        return {.word = "starting",
                .message = first != nullptr ? told(*first) : "the images are being checked"};
    }
    if (first_gate != nullptr) return {.word = "not_ready", .message = told(*first_gate)};
    if (first_other != nullptr) {
        return {.word = "degraded", .message = told(*first_other), .is_ready = true};
    }
    return {.word = "ready", .message = "everything that was baked is usable", .is_ready = true};
}

}  // namespace prebake::report
