#include "agent/guard/activity_log.h"

#include <doctest/doctest.h>

#include <string>

namespace prebake::guard {
namespace {

TEST_CASE("work that is retried is a warning only if it fails repeatedly") {
    int infos = 0;
    int warnings = 0;
    ActivityLog log([&](Severity severity, const std::string&) {
        if (severity == Severity::info) ++infos;
        if (severity == Severity::warning) ++warnings;
    });
    const auto fail = [&](int times) {
        for (int i = 0; i < times; ++i) log.warn_of_retry("check", "CRI is starting");
    };
    fail(ActivityLog::kQuietFailures);
    CHECK(infos == ActivityLog::kQuietFailures);
    CHECK(log.warnings().empty());
    log.clear("check");
    fail(ActivityLog::kQuietFailures);
    CHECK_MESSAGE(warnings == 0, "it worked in between");
    fail(2);
    CHECK_MESSAGE(warnings == 1, "once");
    CHECK(log.warnings().size() == 1);
    log.clear("check");
    CHECK(log.warnings().empty());
}

TEST_CASE("failures are forgotten of the image that is usable now, and of no other platform's") {
    ActivityLog log({});
    for (const char* platform : {"linux/amd64", "linux/arm64"}) {
        v1::Repair failed;
        failed.set_image("a");
        failed.set_namespace_("k8s.io");
        failed.set_platform(platform);
        failed.mutable_problem()->set_message("no space");
        log.add(failed);
    }
    log.forget_failures({.image = "a", .ns = "moby", .platform = "linux/amd64"});
    CHECK(log.repairs().size() == 2);
    log.forget_failures({.image = "a", .ns = "k8s.io", .platform = "linux/amd64"});
    REQUIRE(log.repairs().size() == 1);
    CHECK(log.repairs().front().platform() == "linux/arm64");
    CHECK(log.repairs_total() == 2);
}

}  // namespace
}  // namespace prebake::guard
