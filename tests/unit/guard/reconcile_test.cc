#include "agent/guard/reconcile.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/timestamp.h"
#include "tests/unit/guard/fakes.h"

namespace prebake::guard::reconcile_test {

using store::Finding;
using store::FindingKind;

const ImageKey kA{.image = "a", .ns = "k8s.io"};
const ImageKey kB{.image = "b", .ns = "k8s.io"};

Finding finding(const std::string& image, FindingKind kind) {
    return {.kind = kind,
            .image = image,
            .ns = "k8s.io",
            .object = "name " + image,
            .subject = image,
            .expected = {},
            .found = "missing",
            .next_step = {}};
}

/// One reconciliation of the images a and b.
struct Scene {
    Scene() {
        *record.add_images() = baked_image("a", 'a');
        *record.add_images() = baked_image("b", 'b');
    }

    Reconciled run() {
        const TimeSource source = clock.source();
        const store::NameSet pinned;
        return reconcile(
            {.wanted = record,
             .snapshotters = {{"k8s.io", "overlayfs"}},
             .pinned = pinned,
             .repairer = repairer,
             .clock = source,
             .may_repair = [this](const ImageKey& key) { return !forbidden.contains(key); },
             .why = [](const ImageKey&) { return std::string("a test"); },
             .on_progress =
                 [this](const RepairProgress& progress) {
                     steps.push_back(
                         std::to_string(progress.done) + "/" + std::to_string(progress.total) +
                         (progress.is_unpacking ? " into " + progress.snapshotter : ""));
                 }});
    }

    v1::BakeRecord record;
    FakeRepairer repairer;
    FakeClock clock;
    std::set<ImageKey> forbidden;
    std::vector<std::string> steps;
};

using Names = std::vector<std::string>;
using Retries = std::map<ImageKey, RetryCause>;

TEST_CASE("reconcile() repairs nothing if nothing is wrong") {
    Scene scene;
    const Reconciled result = scene.run();
    CHECK(scene.repairer.verified == Names{"a b"});
    CHECK(scene.repairer.restored.empty());
    CHECK(result.images.size() == 2);
    CHECK(result.repairs.empty());
    CHECK(result.to_retry.empty());
    CHECK(scene.steps.empty());
}

TEST_CASE("reconcile() repairs the broken image alone, and checks it again") {
    Scene scene;
    scene.repairer.findings = {{finding("b", FindingKind::name_missing)}, {}};
    const Reconciled result = scene.run();
    CHECK(scene.repairer.restored == Names{"b"});
    CHECK(scene.repairer.verified == Names{"a b", "b"});
    REQUIRE(result.repairs.size() == 1);
    CHECK(result.repairs[0].image() == "b");
    CHECK(result.repairs[0].what() == "recreated the name");
    CHECK(result.repairs[0].why() == "a test");
    CHECK(to_time(result.repairs[0].at()) == scene.clock.moment.wall);
    CHECK_FALSE(result.repairs[0].has_problem());
    CHECK(result.images[1].is_usable());
    CHECK(result.to_retry.empty());
    CHECK(scene.steps == Names{"0/1"});
}

TEST_CASE("reconcile() reports what a repair did not change") {
    Scene scene;
    scene.repairer.findings = {{finding("a", FindingKind::name_missing)},
                               {finding("a", FindingKind::name_missing)}};
    const Reconciled result = scene.run();
    REQUIRE(result.repairs.size() == 1);
    CHECK(result.repairs[0].what().empty());
    CHECK(result.repairs[0].problem().message() == "name a still: missing");
    CHECK_FALSE(result.images[0].is_usable());
}

TEST_CASE("which failures of a repair are retried") {
    struct Row {
        Errc code;
        std::optional<RetryCause> expected;
    };
    const Row rows[] = {{Errc::conflict, RetryCause::bake_runs},
                        {Errc::no_space, RetryCause::disk_full},
                        {Errc::io, RetryCause::other},
                        {Errc::timed_out, RetryCause::other},
                        {Errc::failed_precondition, RetryCause::other},  // CRI does not know it
                        {Errc::not_found, {}},
                        {Errc::corrupt, {}}};
    for (const Row& row : rows) {
        CAPTURE(to_string(row.code));
        Scene scene;
        scene.repairer.findings = {
            {finding("a", FindingKind::name_missing), finding("b", FindingKind::name_missing)},
            {finding("a", FindingKind::name_missing)}};
        scene.repairer.failures.emplace("a", Error(row.code, "it failed", "do this"));
        const Reconciled result = scene.run();
        const Names both{"a", "b"};
        CHECK_MESSAGE(scene.repairer.restored == both, "one failure does not stop others");
        const Retries expected = row.expected ? Retries{{kA, *row.expected}} : Retries{};
        CHECK(result.to_retry == expected);
        REQUIRE(result.repairs.size() == 2);
        CHECK(result.repairs[0].problem().message() == "it failed");
        CHECK_FALSE(result.repairs[1].has_problem());
        CHECK_MESSAGE(result.images[0].problem == "it failed", "it explains more than the finding");
        CHECK(result.images[0].next_step == "do this");
        CHECK(result.images[1].is_usable());
    }
}

TEST_CASE("if containerd goes away, reconcile() ends with that error") {
    for (const Errc code : {Errc::unavailable, Errc::cancelled}) {
        CAPTURE(to_string(code));
        Scene scene;
        scene.repairer.findings = {
            {finding("a", FindingKind::name_missing), finding("b", FindingKind::name_missing)}};
        scene.repairer.failures.emplace("a", Error(code, "gone"));
        try {
            scene.run();
            FAIL("no error");
        } catch (const Error& error) {
            CHECK(error.code() == code);
        }
        CHECK(scene.repairer.restored == Names{"a"});
    }
}

TEST_CASE("an image whose repairs are always undone is left alone and tried later") {
    Scene scene;
    scene.forbidden = {kA};
    scene.repairer.findings = {
        {finding("a", FindingKind::name_missing), finding("a", FindingKind::unpinned)}};
    const Reconciled result = scene.run();
    CHECK(scene.repairer.restored.empty());
    CHECK(result.to_retry == Retries{{kA, RetryCause::not_allowed}});
    CHECK_FALSE(result.images[0].is_usable());
}

TEST_CASE("an image that could not be checked is checked later, not repaired") {
    Scene scene;
    scene.repairer.findings = {{finding("b", FindingKind::unreadable)}};
    const Reconciled result = scene.run();
    CHECK(scene.repairer.restored.empty());
    CHECK(result.to_retry == Retries{{kB, RetryCause::not_checked}});
}

TEST_CASE("a tag that was moved is not repaired") {
    Scene scene;
    scene.repairer.findings = {{finding("a", FindingKind::name_moved)}};
    const Reconciled result = scene.run();
    CHECK(scene.repairer.restored.empty());
    CHECK(result.to_retry.empty());
    CHECK(result.images[0].is_moved);
}

TEST_CASE("the progress of an unpacking names the snapshotter") {
    Scene scene;
    scene.repairer.findings = {
        {finding("a", FindingKind::snapshot_missing), finding("b", FindingKind::snapshot_missing)},
        {}};
    scene.run();
    CHECK(scene.steps == Names{"0/2 into overlayfs", "1/2 into overlayfs"});
}

}  // namespace prebake::guard::reconcile_test
