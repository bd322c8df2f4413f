#include "agent/hydrate/ending.h"

#include "agent/base/format.h"
#include "agent/base/text.h"

namespace prebake::hydrate {
namespace {

constexpr const char* kGoesOn = "it goes on at the next boot; now: prebake hydrate";
constexpr const char* kMount =
    "mount it, and then: prebake hydrate; or bake again, which makes a new plan";
constexpr const char* kTurnOn =
    "to read without a measurement: mode = \"on\" in [hydrate] of prebake.toml";

}  // namespace

Ending ending_without_reading(const PlanOnMachine& plan) {
    const std::string left_out = joined(plan.left_out, "; ");
    if (!plan.absent.empty()) {
        std::string message = joined(plan.absent, "; ");
        if (!left_out.empty()) message += "; " + left_out;
        return {"incomplete", message, kMount};
    }
    const char* const next_step = plan.is_measured ? "" : kTurnOn;
    if (plan.finished == 0) {
        return {"not_needed", left_out.empty() ? "the plan has nothing to read" : left_out,
                next_step};
    }
    if (left_out.empty()) return {"hydrated", "all of the plan was read before", ""};
    return {plan.is_measured ? "hydrated" : "not_needed",
            counted(plan.finished, "volume") + " of the plan read before; " + left_out, next_step};
}

Ending ending_of_reading(const WhatWasRead& read, const PlanOnMachine& plan) {
    std::vector<std::string> troubles = plan.absent;
    const auto with = [&](const std::string& last) {
        troubles.push_back(last);
        return joined(troubles, "; ");
    };
    if (read.end == ReadingEnd::stopped) return {"incomplete", with("it was stopped"), kGoesOn};
    if (read.end == ReadingEnd::deadline) {
        return {"incomplete",
                with("the deadline of " +
                     format_duration(std::chrono::duration<double>(read.deadline)) + " has passed"),
                kGoesOn};
    }
    troubles.insert(troubles.end(), read.troubles.begin(), read.troubles.end());
    if (troubles.empty()) return {"hydrated", read.summary, ""};
    if (read.troubles.empty()) return {"incomplete", with(read.summary), kMount};
    return {"incomplete", with(read.summary),
            "see the kernel's log for errors of the disk; " + std::string(kGoesOn)};
}

}  // namespace prebake::hydrate
