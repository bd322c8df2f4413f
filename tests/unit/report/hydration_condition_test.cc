#include "agent/report/hydration_condition.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "tests/unit/report/hydrated_samples.h"

namespace prebake::report::hydration_condition_test {

using hydrated_samples::hydrated;
using hydrated_samples::hydrating;
using hydrated_samples::kMiB;

using Change = std::function<void(HydrationFacts&)>;

Change in_state(const char* state, const char* message = "") {
    return [state, message](HydrationFacts& facts) {
        facts.progress->set_state(state);
        facts.progress->set_message(message);
    };
}

TEST_CASE("what the condition says of what the service wrote") {
    struct Row {
        const char* name;
        Change change;
        const char* expected;
        const char* in_message;
        const char* in_next_step = "";
    };
    const Row rows[] = {
        {"nothing was planned",
         [](HydrationFacts& facts) {
             facts.has_plan = false;
             facts.progress.reset();
         },
         "NotApplicable NoPlan", "bakes make one"},
        {"on the builder, and where more was baked",
         [](HydrationFacts& facts) {
             facts.is_plan_of_this_boot = true;
             facts.progress.reset();
         },
         "NotApplicable WrittenInThisBoot", "written in this boot"},
        {"the service did not run", [](HydrationFacts& facts) { facts.progress.reset(); },
         "Unknown NotRun", "has not run in this boot", "systemctl start prebake-hydrate"},
        {"its file is damaged",
         [](HydrationFacts& facts) {
             facts.progress.reset();
             facts.problem = "/run/x is not JSON";
         },
         "Unknown ProgressUnreadable", "/run/x is not JSON", "journalctl"},
        {"switched off", in_state("off"), "NotApplicable SwitchedOff", "hydrate.mode"},
        {"switched off, in its words", in_state("off", "mode is off"), "NotApplicable SwitchedOff",
         "mode is off"},
        {"it found no plan", in_state("no_plan"), "NotApplicable NoPlan", "no plan"},
        {"not lazy", in_state("not_needed", "nvme0n1 is an instance store"),
         "NotApplicable NotNeeded", "nvme0n1 is an instance store"},
        {"not lazy, and no words", in_state("not_needed"), "NotApplicable NotNeeded", "lazily"},
        {"probing", in_state("probing"), "False Hydrating", "how cold the disk is"},
        {"hydrating", in_state("hydrating"), "False Hydrating", "60% of 1000.0 MiB"},
        {"killed while it hydrated", [](HydrationFacts& facts) { facts.is_silent = true; },
         "False HydrationStopped", "ended at 60% of 1000.0 MiB",
         "systemctl restart prebake-hydrate"},
        {"killed while it probed",
         [](HydrationFacts& facts) {
             in_state("probing")(facts);
             facts.is_silent = true;
         },
         "False HydrationStopped", "ended at"},
        {"some chunks",
         [](HydrationFacts& facts) {
             in_state("incomplete")(facts);
             facts.progress->mutable_volumes(0)->set_failed_chunks(3);
         },
         "False HydrationIncomplete", "3 chunks could not be read", "prebake-hydrate"},
        {"the deadline", in_state("incomplete", "the deadline of 15 min has passed"),
         "False HydrationIncomplete", "the deadline of 15 min has passed", "prebake-hydrate"},
        {"the service knows what to do",
         [](HydrationFacts& facts) {
             in_state("incomplete")(facts);
             facts.progress->set_next_step("raise nvme_core.io_timeout");
         },
         "False HydrationIncomplete", "parts of the disk could not be read",
         "raise nvme_core.io_timeout"},
        {"failed", in_state("failed", "no CAP_SYS_ADMIN"), "False HydrationFailed",
         "no CAP_SYS_ADMIN", "journalctl"},
        {"failed without a word", in_state("failed"), "False HydrationFailed", "failed",
         "journalctl"},
        {"done", [](HydrationFacts& facts) { facts.progress = hydrated(); }, "True Hydrated",
         "hot 310.0 MiB in 2.2 s, all 1000.0 MiB in 1 min 36 s"},
        {"done, and long silent",
         [](HydrationFacts& facts) {
             facts.progress = hydrated();
             facts.is_silent = true;
         },
         "True Hydrated", "all 1000.0 MiB"},
        {"of a later version", in_state("levitating"), "Unknown StateUnknown", "levitating",
         "same version"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        HydrationFacts facts{.has_plan = true, .progress = hydrating()};
        row.change(facts);
        const Judgement found = judge_hydration(facts);
        CHECK(found.status + " " + found.reason == row.expected);
        CHECK_MESSAGE(found.message.find(row.in_message) != std::string::npos, found.message);
        CHECK_MESSAGE(found.next_step.find(row.in_next_step) != std::string::npos, found.next_step);
        // What is wrong comes with what to do; what goes on needs only time.
        const bool is_wrong = found.status == kFalse && found.reason != kHydratingReason;
        CHECK((!is_wrong || !found.next_step.empty()));
    }
}

TEST_CASE("its message changes ten times, and not every second") {
    HydrationFacts facts{.has_plan = true, .progress = hydrating()};
    std::string last;
    int changes = 0;
    for (std::uint64_t warm = 0; warm < 690 * kMiB; warm += kMiB) {
        facts.progress->mutable_ranks(2)->set_bytes(warm);
        const std::string message = judge_hydration(facts).message;
        changes += message != last ? 1 : 0;
        last = message;
    }
    CHECK(changes == 7);  // 30% to 90%
}

}  // namespace prebake::report::hydration_condition_test
