#include "agent/report/hydration_condition.h"

#include <cstdint>
#include <string>
#include <utility>

#include "agent/base/format.h"

namespace prebake::report {
namespace {

constexpr const char* kStart = "systemctl start prebake-hydrate";
constexpr const char* kRestart =
    "see why with: journalctl -u prebake-hydrate, then: systemctl restart prebake-hydrate";

Judgement not_applicable(const char* reason, const std::string& message,
                         const std::string& else_message) {
    return {.status = kNotApplicable,
            .reason = reason,
            .message = message.empty() ? else_message : message};
}

Judgement no_plan(const std::string& message) {
    return not_applicable("NoPlan", message,
                          "there is no plan of what to read ahead: bakes make one");
}

Judgement without_progress(const HydrationFacts& facts) {
    if (!facts.problem.empty()) {
        return {.status = kUnknown,
                .reason = "ProgressUnreadable",
                .message = facts.problem,
                .next_step = kRestart};
    }
    if (!facts.has_plan) return no_plan({});
    if (facts.is_plan_of_this_boot) {
        return not_applicable("WrittenInThisBoot", {},
                              "what was baked was written in this boot, so the disk has it");
    }
    return {.status = kUnknown,
            .reason = std::string(kNotRunReason),
            .message = "prebake-hydrate.service has not run in this boot",
            .next_step = kStart};
}

std::string tens_of_percent(const v1::NodeHydration& hydration) {
    return std::to_string(warm_percent(hydration) / 10 * 10) + "% of " +
           format_bytes(hydration.total_bytes());
}

Judgement failure(std::string_view reason, std::string message, const v1::Hydration& progress) {
    return {.status = kFalse,
            .reason = std::string(reason),
            .message = std::move(message),
            .next_step = progress.next_step().empty() ? kRestart : progress.next_step()};
}

/// Chunks could not be read, or the deadline passed, or somebody stopped it.
Judgement incomplete(const v1::Hydration& progress) {
    if (!progress.message().empty()) {
        return failure(kHydrationIncompleteReason, progress.message(), progress);
    }
    std::uint64_t chunks = 0;
    for (const v1::HydratedVolume& volume : progress.volumes()) chunks += volume.failed_chunks();
    const std::string which = chunks == 0 ? "parts of the disk" : counted(chunks, "chunk");
    return failure(kHydrationIncompleteReason, which + " could not be read", progress);
}

Judgement running(const v1::NodeHydration& hydration) {
    std::string message = "finding out how cold the disk is";
    if (hydration.state() == kHydratingState) {
        message = "reading ahead what was baked: " + tens_of_percent(hydration);
    }
    return {
        .status = kFalse, .reason = std::string(kHydratingReason), .message = std::move(message)};
}

}  // namespace

Judgement judge_hydration(const HydrationFacts& facts) {
    if (!facts.progress) return without_progress(facts);
    const v1::Hydration& progress = *facts.progress;
    const v1::NodeHydration hydration = *node_hydration(facts);
    const std::string& state = hydration.state();
    if (state == kHydratedState) {
        return {.status = kTrue, .reason = "Hydrated", .message = hydration_line(hydration)};
    }
    if (state == kOffState) {
        return not_applicable("SwitchedOff", progress.message(),
                              "hydration is switched off (hydrate.mode)");
    }
    if (state == kNoPlanState) return no_plan(progress.message());
    if (state == kNotNeededState) {
        return not_applicable("NotNeeded", progress.message(), "the disk does not load lazily");
    }
    if (state == kStoppedState) {
        return failure("HydrationStopped",
                       "prebake-hydrate.service has ended at " + tens_of_percent(hydration) +
                           " without saying why",
                       progress);
    }
    if (is_at_work(state)) return running(hydration);
    if (state == kIncompleteState) return incomplete(progress);
    if (state == kFailedState) {
        return failure(kHydrationFailedReason,
                       progress.message().empty() ? "it failed" : progress.message(), progress);
    }
    return {.status = kUnknown,
            .reason = "StateUnknown",
            .message = "prebake-hydrate.service reports an unknown state: " + state,
            .next_step = "install the same version of prebake and prebake-hydrate.service"};
}

}  // namespace prebake::report
