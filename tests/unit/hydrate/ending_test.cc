#include "agent/hydrate/ending.h"

#include <doctest/doctest.h>

namespace prebake::hydrate {

namespace ending_test {

bool says(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("the end of a run that finds nothing to read") {
    struct Row {
        const char* name;
        PlanOnMachine plan;
        const char* state;
        const char* message;
        const char* next_step;
    };
    const PlanOnMachine absent{.absent = {"the volume 12ab is not here"}, .left_out = {}};
    PlanOnMachine absent_and_finished = absent;
    absent_and_finished.finished = 1;
    const Row rows[] = {
        {"nothing is planned", {.absent = {}, .left_out = {}}, "not_needed", "nothing to read", ""},
        {"warm", {.absent = {}, .left_out = {"warm"}}, "not_needed", "warm", ""},
        {"all was read before",
         {.absent = {}, .finished = 2, .left_out = {}},
         "hydrated",
         "all of the plan was read before",
         ""},
        {"one was read before, and one is warm",
         {.absent = {}, .finished = 1, .left_out = {"warm"}},
         "hydrated",
         "1 volume of the plan read before; warm",
         ""},
        {"one was read before, and one was not measured",
         {.absent = {}, .finished = 1, .left_out = {"refused"}, .is_measured = false},
         "not_needed",
         "1 volume of the plan read before; refused",
         "mode = \"on\""},
        {"nothing was measured",
         {.absent = {}, .left_out = {"refused"}, .is_measured = false},
         "not_needed",
         "refused",
         "mode = \"on\""},
        {"one is absent", absent, "incomplete", "the volume 12ab is not here", "mount it"},
        {"one is absent, and one was read before", absent_and_finished, "incomplete",
         "the volume 12ab is not here", "mount it"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const Ending ending = ending_without_reading(row.plan);
        CHECK(ending.state == row.state);
        CHECK(says(ending.message, row.message));
        CHECK(says(ending.next_step, row.next_step));
        CHECK(ending.next_step.empty() == std::string(row.next_step).empty());
    }
}

TEST_CASE("the end of a run that has read something") {
    using namespace std::chrono_literals;
    const PlanOnMachine all;
    const PlanOnMachine absent{.absent = {"the volume 12ab is not here"}, .left_out = {}};
    const auto end = [](ReadingEnd how, const PlanOnMachine& plan, const char* trouble = "") {
        WhatWasRead read{.end = how, .deadline = 2min, .troubles = {}, .summary = "all 2 MiB"};
        if (*trouble != '\0') read.troubles.emplace_back(trouble);
        return ending_of_reading(read, plan);
    };
    CHECK(end(ReadingEnd::all, all).state == "hydrated");
    CHECK(end(ReadingEnd::all, all).message == "all 2 MiB");
    CHECK(end(ReadingEnd::all, all).next_step.empty());
    CHECK(end(ReadingEnd::stopped, all).message == "it was stopped");
    CHECK(says(end(ReadingEnd::deadline, all).message, "the deadline of "));
    CHECK(end(ReadingEnd::all, all, "1 chunk").message == "1 chunk; all 2 MiB");
    CHECK(says(end(ReadingEnd::all, all, "1 chunk").next_step, "the kernel's log"));
    CHECK(end(ReadingEnd::all, absent).state == "incomplete");
    CHECK(end(ReadingEnd::all, absent).message == "the volume 12ab is not here; all 2 MiB");
    CHECK(says(end(ReadingEnd::all, absent).next_step, "mount it"));
    CHECK(says(end(ReadingEnd::stopped, absent).message, "12ab is not here; it was stopped"));
}

}  // namespace ending_test

}  // namespace prebake::hydrate
