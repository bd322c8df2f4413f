#include "agent/daemon/watched_hydration.h"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "agent/base/file.h"
#include "agent/base/timestamp.h"
#include "agent/hydrate/documents.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::daemon::watched_hydration_test {

using namespace std::chrono_literals;

/// A node that was booted a minute ago.
struct Scene {
    TemporaryDirectory state;
    TemporaryDirectory run;
    Moment now{.steady = std::chrono::steady_clock::time_point(500h),
               .wall = Time(std::chrono::seconds(1'800'000'000)),
               .uptime = 60s};
    WatchedHydration watched{state.path(), run.path(), [this] { return now; }, "this-boot"};

    void advance(std::chrono::seconds by) {
        now.steady += by;
        now.wall += by;
        now.uptime += by;
    }
    void write(const char* word, const std::function<void(v1::Hydration&)>& change = {}) {
        v1::Hydration progress;
        progress.set_state(word);
        progress.set_boot_id("this-boot");
        *progress.mutable_updated_at() = to_timestamp(now.wall);
        if (change) change(progress);
        hydrate::write_hydration(hydrate::progress_path(run.path()), progress);
        watched.read();
    }
};

TEST_CASE("whether there is a plan, and whether this boot made it") {
    Scene at;
    at.watched.read();
    CHECK_FALSE(at.watched.facts().has_plan);
    const std::filesystem::path plan = hydrate::plan_path(at.state.path());
    write_file_durably(plan, "not read here", 0644);
    const auto set_time = [&](std::chrono::seconds before_now) {
        using FileTime = std::filesystem::file_time_type;
        const auto wall = at.now.wall - before_now;
        std::filesystem::last_write_time(
            plan, FileTime::clock::from_sys(
                      std::chrono::time_point_cast<std::chrono::nanoseconds>(wall)));
        at.watched.read();
    };
    set_time(24h);
    CHECK(at.watched.facts().has_plan);
    CHECK_FALSE(at.watched.facts().is_plan_of_this_boot);
    set_time(30s);
    CHECK(at.watched.facts().is_plan_of_this_boot);
}

TEST_CASE("what the service wrote") {
    Scene at;
    at.watched.read();
    CHECK_FALSE(at.watched.facts().progress);
    CHECK(at.watched.facts().problem.empty());
    at.write("hydrating");
    REQUIRE(at.watched.facts().progress);
    CHECK(at.watched.facts().progress->state() == "hydrating");
    at.write("hydrated", [](v1::Hydration& progress) { progress.set_boot_id("the-last-boot"); });
    CHECK_MESSAGE(!at.watched.facts().progress, "in another boot");
    write_file_durably(hydrate::progress_path(at.run.path()), "{", 0644);
    at.watched.read();
    CHECK_FALSE(at.watched.facts().progress);
    CHECK(at.watched.facts().problem.find("hydration.json") != std::string::npos);
    at.write("hydrated");
    CHECK(at.watched.facts().problem.empty());
    std::filesystem::remove(hydrate::progress_path(at.run.path()));
    at.watched.read();
    CHECK_FALSE(at.watched.facts().progress);
}

TEST_CASE("a service that does not write any more has ended") {
    Scene at;
    at.write("hydrating");
    CHECK(at.watched.falls_silent_at() == at.now.steady + 30s);
    CHECK_FALSE(at.watched.facts().is_silent);
    at.advance(29s);
    at.watched.read();
    CHECK_FALSE(at.watched.facts().is_silent);
    at.advance(1s);
    CHECK(at.watched.facts().is_silent);
    CHECK_FALSE(at.watched.falls_silent_at());
    at.write("hydrating");
    CHECK_FALSE(at.watched.facts().is_silent);
    at.write("hydrated");
    CHECK_MESSAGE(!at.watched.falls_silent_at(), "it has nothing more to write");
}

TEST_CASE("a daemon that starts later knows how old the file is") {
    struct Row {
        const char* name;
        std::chrono::seconds age;
        bool is_silent;
    };
    for (const Row& row : {Row{"new", 1s, false}, Row{"old", 40s, true},
                           Row{"of the future: the clock was set back", -1h, false},
                           // It is not older than the boot, and that began 60 s ago.
                           Row{"the clock was set forward", 24h, true}}) {
        CAPTURE(row.name);
        Scene at;
        at.write("hydrating", [&](v1::Hydration& progress) {
            *progress.mutable_updated_at() = to_timestamp(at.now.wall - row.age);
        });
        CHECK(at.watched.facts().is_silent == row.is_silent);
    }
}

TEST_CASE("a clock that is set does not make a service silent") {
    Scene at;
    at.write("hydrating");
    at.now.wall += 24h;
    at.watched.read();
    CHECK_FALSE(at.watched.facts().is_silent);
    at.advance(29s);
    CHECK_FALSE(at.watched.facts().is_silent);
}

TEST_CASE("the files are read once a second at most") {
    Scene at;
    at.watched.read();
    CHECK(at.watched.next_read() == at.now.steady + 1s);
}

TEST_CASE("what the ledger learns of the disk") {
    Scene at;
    at.watched.read();
    CHECK_FALSE(at.watched.warmth());
    for (const char* word : {"not_needed", "no_plan"}) {
        at.write(word);
        CHECK_FALSE(at.watched.warmth());
    }
    for (const char* word : {"hydrating", "off", "failed"}) {
        at.write(word);
        REQUIRE(at.watched.warmth());
        CHECK_FALSE(at.watched.warmth()->hydrated_at);
    }
    at.write("hydrating",
             [](v1::Hydration& progress) { progress.mutable_traced_at()->set_seconds(7); });
    CHECK(at.watched.warmth()->hydrated_at == Time(7s));
    at.write("hydrated",
             [](v1::Hydration& progress) { progress.mutable_finished_at()->set_seconds(5); });
    CHECK_MESSAGE(at.watched.warmth()->hydrated_at == Time(5s), "all was read before");
}

}  // namespace prebake::daemon::watched_hydration_test
