#include "agent/guard/image_guard.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "tests/unit/guard/fakes.h"

using namespace std::chrono_literals;

namespace prebake::guard {
namespace {

using containerd::EventKind;
using store::FindingKind;

const ImageKey kA{.image = "a", .ns = "k8s.io"};

/// A guard of the images a and b, without containerd.
struct Scene {
    explicit Scene(PinLimits limits = {})
        : connection("/nonexistent/containerd.sock", std::stop_token()),
          log([this](Severity severity, const std::string& text) {
              if (severity == Severity::warning) warnings.push_back(text);
          }),
          guard({.pin_limits = limits, .snapshotter = {}, .configured_runtime = {}},
                {.connection = connection,
                 .names = names,
                 .repairer = repairer,
                 .disk = disk,
                 .log = log,
                 .clock = clock.source(),
                 .on_progress = [](const RepairProgress&) {}}) {
        v1::BakeRecord record;
        *record.add_images() = baked_image("a", 'a');
        *record.add_images() = baked_image("b", 'b');
        guard.set_record(std::move(record));
        for (const auto& [name, letter] : {std::pair("a", 'a'), std::pair("b", 'b')}) {
            names.names[{"k8s.io", name}] = {
                .labels = store::name_labels("k8s.io", store::Pin::yes),
                .target = digest_of(letter)};
        }
        guard.check_everything();
        repairer.verified.clear();
    }

    FollowUp on_event(EventKind kind, const std::string& object) {
        return guard.on_event(
            {.kind = kind, .at = clock.moment.wall, .ns = "k8s.io", .object = object},
            names.get("k8s.io", object));
    }
    /// A client removes the pin of a: by hand, or as a pull does.
    void unpin_a(bool is_pull) {
        clock.advance(1s);
        names.names[{"k8s.io", "a"}].labels.clear();
        if (is_pull) names.touched[digest_of('a')] = clock.moment.wall;
        on_event(EventKind::image_updated, "a");
    }
    void check_suspects() {
        clock.advance(Suspicions::kMostDelay);
        guard.check_suspects();
    }

    containerd::Connection connection;
    FakeNames names;
    FakeDisk disk;
    FakeRepairer repairer;
    FakeClock clock;
    std::vector<std::string> warnings;
    ActivityLog log;
    ImageGuard guard;
};

using Names = std::vector<std::string>;

TEST_CASE("an event about a protected image has that image checked, and no other") {
    struct Row {
        const char* name;
        EventKind kind;
        const char* object;
        const char* checked;  ///< empty: nothing
    };
    const Row rows[] = {
        {"a name is deleted", EventKind::image_deleted, "a", "a"},
        {"an unknown name is deleted", EventKind::image_deleted, "x", ""},
        {"a name is created", EventKind::image_created, "b", "b"},
        {"a blob is deleted", EventKind::blob_deleted, "blob-b", "b"},
        {"an unknown blob is deleted", EventKind::blob_deleted, "blob-x", ""},
        {"a snapshot is removed", EventKind::snapshot_removed, "chain-a", "a"},
        {"a container starts", EventKind::snapshot_prepared, "chain-a", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Scene scene;
        CHECK(scene.on_event(row.kind, row.object) == FollowUp::none);
        CHECK(scene.guard.suspects_due().has_value() == (*row.checked != '\0'));
        scene.check_suspects();
        CHECK(scene.repairer.verified == (*row.checked == '\0' ? Names{} : Names{row.checked}));
    }
}

TEST_CASE("a name that is gone when its event arrives is left to its deletion event") {
    Scene scene;
    scene.names.names.erase({"k8s.io", "a"});
    scene.on_event(EventKind::image_updated, "a");
    CHECK_FALSE(scene.guard.suspects_due().has_value());
}

TEST_CASE("a moved tag is checked, not pinned") {
    Scene scene;
    scene.names.names[{"k8s.io", "a"}] = {.labels = {}, .target = digest_of('d')};
    scene.on_event(EventKind::image_updated, "a");
    CHECK(scene.guard.suspects_due().has_value());
    CHECK_FALSE(scene.names.is_pinned("k8s.io", "a"));
}

TEST_CASE("a pin that a pull replaced is restored, and the pull is reported") {
    Scene scene;
    scene.unpin_a(true);
    CHECK(scene.names.is_pinned("k8s.io", "a"));
    const GuardActions actions = scene.guard.take_actions();
    REQUIRE(actions.pulled_again.size() == 1);
    CHECK(actions.pulled_again[0].image.name == "a");
    REQUIRE(actions.repinned.size() == 1);
    CHECK(actions.repinned[0].name == "a");
    CHECK_MESSAGE(actions.restored.empty(), "no content was restored");
    REQUIRE(scene.log.repairs().size() == 1);
    CHECK(scene.log.repairs()[0].why().starts_with("pulled again"));
    CHECK(scene.guard.state().images[0].is_repaired);
    CHECK_MESSAGE(scene.guard.take_actions().repinned.empty(), "each action is reported once");
}

TEST_CASE("a pin that was removed by hand is restored, and no pull is reported") {
    Scene scene;
    scene.unpin_a(false);
    CHECK(scene.names.is_pinned("k8s.io", "a"));
    const GuardActions actions = scene.guard.take_actions();
    CHECK(actions.pulled_again.empty());
    CHECK(actions.repinned.size() == 1);
    CHECK(scene.log.repairs()[0].why() == "its label was removed");
}

TEST_CASE("an image that keeps losing its pin is left alone for a minute, with one warning") {
    Scene scene;
    for (std::size_t i = 0; i < RepairAllowance::kMost + 2; ++i) scene.unpin_a(false);
    CHECK_FALSE(scene.names.is_pinned("k8s.io", "a"));
    CHECK(scene.guard.take_actions().repinned.size() == RepairAllowance::kMost);
    CHECK(scene.warnings == Names{"a in k8s.io keeps losing its pin; not re-pinning for 60 s"});
    REQUIRE(scene.guard.suspects_due().has_value());
    CHECK(*scene.guard.suspects_due() <= scene.clock.moment.steady + RepairAllowance::kWithin);
}

TEST_CASE("a pull is reported even if the pin could not be restored") {
    Scene scene;
    scene.names.failure = Error(Errc::unavailable, "gone");
    CHECK_THROWS_AS(scene.unpin_a(true), Error);
    const GuardActions actions = scene.guard.take_actions();
    CHECK(actions.pulled_again.size() == 1);
    CHECK(actions.repinned.empty());
}

TEST_CASE("an update that leaves the pin in place changes nothing") {
    Scene scene;
    scene.on_event(EventKind::image_updated, "a");
    CHECK(scene.guard.take_actions().repinned.empty());
    CHECK_FALSE(scene.guard.suspects_due().has_value());
}

TEST_CASE("what a check of suspects repaired is reported for the ledger") {
    Scene scene;
    scene.on_event(EventKind::image_deleted, "a");
    scene.repairer.findings = {{{.kind = FindingKind::name_missing,
                                 .image = "a",
                                 .ns = "k8s.io",
                                 .object = "name a",
                                 .subject = "a",
                                 .expected = {},
                                 .found = "missing",
                                 .next_step = {}}},
                               {}};
    scene.check_suspects();
    CHECK(scene.repairer.restored == Names{"a"});
    const RestoredParts restored = scene.guard.take_actions().restored;
    CHECK(restored == RestoredParts{{"k8s.io", {"a"}}});
    CHECK(scene.log.repairs()[0].why() == "deleted");
}

TEST_CASE("if containerd goes away during the check, the images stay suspected") {
    Scene scene;
    scene.on_event(EventKind::image_deleted, "a");
    scene.repairer.verify_failure = Error(Errc::unavailable, "gone");
    CHECK_THROWS_AS(scene.check_suspects(), Error);
    CHECK(scene.guard.suspects_due() == scene.clock.moment.steady + 1s);
    scene.clock.advance(1s);
    CHECK_THROWS_AS(scene.guard.check_suspects(), Error);
    CHECK(scene.guard.suspects_due() == scene.clock.moment.steady + 2s);
}

/// a has lost its name.
store::Finding missing() {
    return {.kind = FindingKind::name_missing,
            .image = "a",
            .ns = "k8s.io",
            .object = "name a",
            .subject = "a",
            .expected = {},
            .found = "missing",
            .next_step = {}};
}

TEST_CASE("a failed repair is retried with growing delays, and reported when it has ended") {
    Scene scene;
    scene.repairer.failures.emplace("a", Error(Errc::io, "it failed"));
    scene.on_event(EventKind::image_deleted, "a");
    scene.clock.advance(1s);
    for (const auto delay : {2s, 4s, 8s, 16s, 32s, 64s, 128s, 256s, 480s, 480s}) {
        scene.repairer.findings = {{missing()}, {missing()}};
        scene.guard.check_suspects();
        CHECK(scene.guard.suspects_due() == scene.clock.moment.steady + delay);
        CHECK(scene.log.repairs().empty());
        scene.clock.advance(delay);
    }
    scene.repairer.failures.clear();
    scene.repairer.findings = {{missing()}, {}};
    scene.guard.check_suspects();
    CHECK_FALSE(scene.guard.suspects_due().has_value());
    CHECK(scene.log.repairs().size() == 1);
}

TEST_CASE("a failed repair is forgotten when the image is usable again") {
    Scene scene;
    const store::Finding missing{.kind = store::FindingKind::blob_missing,
                                 .check = store::Check::blobs,
                                 .image = "a",
                                 .ns = "k8s.io",
                                 .object = "blob x",
                                 .subject = "x",
                                 .expected = {},
                                 .found = "missing",
                                 .next_step = {}};
    scene.repairer.failures.emplace("a", Error(Errc::not_found, "not on this disk"));
    scene.repairer.findings = {{missing}, {missing}};
    scene.guard.check_everything();
    REQUIRE(scene.log.repairs().size() == 1);
    CHECK(scene.log.repairs()[0].has_problem());
    scene.guard.check_everything();  // somebody baked it again
    CHECK(scene.log.repairs().empty());
    CHECK_MESSAGE(scene.log.repairs_total() == 1, "it is counted");
}

/// a cannot be repaired, at first for the reason `failure`.
struct FailingScene : Scene {
    explicit FailingScene(Errc failure, std::uint64_t layer_bytes = 10,
                          std::optional<std::uint64_t> free_before = 1ULL << 21) {
        v1::BakeRecord record = guard.images().baked().record();
        record.mutable_images(0)->mutable_layers(0)->set_size(layer_bytes);
        guard.set_record(std::move(record));
        set_free(free_before);
        if (failure == Errc::no_space && free_before) {
            repairer.on_restore = [this] { set_free(0); };
        }
        repairer.is_bake_running = failure == Errc::conflict;
        repairer.failures.emplace("a", Error(failure, "it failed"));
        repairer.findings = {{missing()}, {missing()}};
        on_event(EventKind::image_deleted, "a");
        check_suspects();
        REQUIRE(repairer.restored.size() == 1);
        // What was due anyway would hide what is tested.
        repairer.failures.clear();
        repairer.findings = {{missing()}, {}};
    }

    void set_free(std::optional<std::uint64_t> bytes) {
        disk.disk.reset();
        if (bytes) disk.disk = DiskRoom{.free_bytes = *bytes, .total_bytes = 1ULL << 30};
    }

    /// A client creates an image with the digest_of() this character in another namespace.
    void create_elsewhere(const std::string& name, char digest) {
        clock.advance(1ms);
        names.names[{"moby", name}] = {.labels = {}, .target = digest_of(digest)};
        guard.on_event({.kind = EventKind::image_created,
                        .at = clock.moment.wall,
                        .ns = "moby",
                        .object = name},
                       names.get("moby", name));
    }

    /// Whether a is repaired within `time`, in which the caller calls as the daemon does.
    bool is_repaired_within(std::chrono::milliseconds time) {
        const SteadyTime end = clock.moment.steady + time;
        while (repairer.restored.size() == 1) {
            const auto due = guard.suspects_due();
            if (!due || *due > end) return false;
            clock.advance(std::chrono::ceil<std::chrono::milliseconds>(
                std::max(*due - clock.moment.steady, SteadyTime::duration::zero())));
            guard.notice_causes();
            guard.check_suspects();
        }
        return true;
    }
};

TEST_CASE("a failed repair is tried again as soon as its cause is gone") {
    struct Row {
        const char* name;
        Errc failure;
        std::function<void(FailingScene&)> change;
        bool is_repaired;  ///< within a second and a half
    };
    const auto nothing = [](FailingScene&) {};
    const Row rows[] = {
        {"a bake runs", Errc::conflict, nothing, false},
        {"the bake has ended", Errc::conflict,
         [](FailingScene& scene) { scene.repairer.is_bake_running = false; }, true},
        {"the disk is full", Errc::no_space, nothing, false},
        {"the disk has lost room", Errc::no_space,
         [](FailingScene& scene) { scene.disk.disk->free_bytes = 0; }, false},
        {"what the repair left was collected", Errc::no_space,
         [](FailingScene& scene) {
             scene.disk.disk->free_bytes = 1ULL << 21;
             scene.clock.advance(1ms);
             scene.guard.on_event({.kind = EventKind::snapshot_removed,
                                   .at = scene.clock.moment.wall,
                                   .ns = "k8s.io",
                                   .object = "chain-a"},
                                  {});
         },
         false},
        {"a log was rotated", Errc::no_space,
         [](FailingScene& scene) { scene.disk.disk->free_bytes = (1ULL << 21) + 100'000; }, false},
        {"the disk has room", Errc::no_space,
         [](FailingScene& scene) { scene.disk.disk->free_bytes = (1ULL << 21) + (1ULL << 20); },
         true},
        {"a layer is lost", Errc::not_found, nothing, false},
        {"somebody unpacks it", Errc::not_found,
         [](FailingScene& scene) {
             scene.clock.advance(1ms);
             scene.guard.on_event({.kind = EventKind::snapshot_committed,
                                   .at = scene.clock.moment.wall,
                                   .ns = "k8s.io",
                                   .object = "extract-1",
                                   .name = "chain-a"},
                                  {});
         },
         true},
        {"somebody pulls it", Errc::not_found,
         [](FailingScene& scene) {
             scene.clock.advance(1ms);
             scene.on_event(EventKind::image_updated, "a");
         },
         true},
        {"an old event is no news", Errc::not_found,
         [](FailingScene& scene) {
             scene.guard.on_event({.kind = EventKind::image_updated,
                                   .at = scene.clock.moment.wall - 1ms,
                                   .ns = "k8s.io",
                                   .object = "a"},
                                  scene.names.get("k8s.io", "a"));
         },
         false},
        {"somebody has it in another namespace", Errc::not_found,
         [](FailingScene& scene) { scene.create_elsewhere("x", 'a'); }, true},
        {"somebody has another image in another namespace", Errc::not_found,
         [](FailingScene& scene) { scene.create_elsewhere("a", 'd'); }, false},
        {"an event about another image", Errc::not_found,
         [](FailingScene& scene) {
             scene.clock.advance(1ms);
             scene.on_event(EventKind::image_updated, "b");
         },
         false},
        {"a reload", Errc::corrupt, [](FailingScene& scene) { scene.guard.check_everything(); },
         true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        FailingScene scene(row.failure);
        row.change(scene);
        CHECK(scene.is_repaired_within(1500ms) == row.is_repaired);
    }
}

TEST_CASE("a full disk has room when it gained a part of the image, of a large one a small part") {
    constexpr std::uint64_t kMiB = 1ULL << 20;
    struct Row {
        std::uint64_t image;
        std::uint64_t necessary;  ///< gain
    };
    for (const Row& row : {Row{10, kMiB}, Row{80 * kMiB, 10 * kMiB}, Row{8192 * kMiB, 64 * kMiB},
                           Row{1ULL << 50, 64 * kMiB}}) {
        CAPTURE(row.image);
        FailingScene scene(Errc::no_space, row.image);
        scene.set_free(2 * kMiB + row.necessary - 1);
        CHECK_FALSE(scene.is_repaired_within(1500ms));
        scene.set_free(2 * kMiB + row.necessary);
        CHECK(scene.is_repaired_within(1500ms));
    }
}

TEST_CASE("if it is unknown what was free before a repair, what is free after it counts") {
    FailingScene scene(Errc::no_space, 10, std::nullopt);
    CHECK_FALSE(scene.is_repaired_within(1500ms));
    scene.set_free(0);
    CHECK_FALSE(scene.is_repaired_within(1500ms));
    scene.set_free(1ULL << 20);
    CHECK(scene.is_repaired_within(1500ms));
}

TEST_CASE("content outlives its names, except where somebody wants the space") {
    struct Row {
        const char* name;
        std::function<void(Scene&)> change;
        std::set<std::string> expected;
    };
    const std::set<std::string> both{digest_of('a'), digest_of('b')};
    const Row rows[] = {
        {"all is well", [](Scene&) {}, both},
        {"the names are gone",
         [](Scene& scene) {
             scene.names.names.clear();
             scene.on_event(EventKind::image_deleted, "a");
         },
         both},
        {"unpinned by the budget",
         [](Scene& scene) { scene.guard.images().set_unpinned(kA, true); },
         {digest_of('b')}},
        {"not to be pinned",
         [](Scene& scene) {
             v1::BakeRecord record;
             *record.add_images() = baked_image("a", 'a');
             record.mutable_images(0)->mutable_placements(0)->set_pinned(false);
             scene.guard.set_record(record);
         },
         {}},
        {"the tag was moved",
         [](Scene& scene) {
             scene.repairer.findings = {{{.kind = FindingKind::name_moved,
                                          .image = "a",
                                          .ns = "k8s.io",
                                          .object = "name a",
                                          .subject = "a",
                                          .expected = {},
                                          .found = "another",
                                          .next_step = {}}}};
             scene.guard.check_everything();
         },
         {digest_of('b')}},
        {"retired", [](Scene& scene) { scene.guard.set_record({}); }, {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Scene scene;
        row.change(scene);
        const HeldContent content = scene.guard.content_to_hold();
        CHECK((content.empty() ? std::set<std::string>() : content.at("k8s.io")) == row.expected);
    }
}

TEST_CASE("below the floor of the disk no content is held, until there is a tenth more room") {
    Scene scene({.min_free_bytes = 100});
    const auto held_with = [&](std::uint64_t free) {
        scene.disk.disk = DiskRoom{.free_bytes = free, .total_bytes = 1000};
        scene.guard.keep_budget([](const ImageKey&) { return Usage(); });
        return scene.guard.content_to_hold().at("k8s.io").size();
    };
    CHECK(held_with(100) == 2);

    CHECK(held_with(99) == 0);
    CHECK(held_with(109) == 0);
    CHECK(held_with(110) == 2);
}

TEST_CASE("a deleted image that the budget had unpinned is evicted, not repaired") {
    Scene scene;
    scene.guard.images().set_unpinned(kA, true);
    scene.names.names.erase({"k8s.io", "a"});
    scene.guard.check_everything();
    CHECK(scene.repairer.verified == Names{"b"});
    const auto& images = scene.guard.state().images;
    REQUIRE(images.size() == 2);
    CHECK(images[0].is_evicted);
    scene.on_event(EventKind::blob_deleted, "blob-a");
    CHECK_FALSE(scene.guard.suspects_due().has_value());

    scene.names.names[{"k8s.io", "a"}] = {.labels = {}, .target = digest_of('a')};
    scene.on_event(EventKind::image_created, "a");
    CHECK_MESSAGE(scene.guard.suspects_due().has_value(), "it exists again");
}

TEST_CASE("Docker's users may remove an image: it comes back once") {
    const ImageKey key{.image = "d", .ns = "moby"};
    Scene scene;
    v1::BakeRecord record;
    *record.add_images() = baked_image("d", 'd');
    record.mutable_images(0)->mutable_placements(0)->set_namespace_(key.ns);
    scene.guard.set_record(record);
    const auto name_it = [&] {
        scene.names.names[{key.ns, "d"}] = {.labels = {}, .target = digest_of('d')};
    };
    const auto happens = [&](EventKind kind) {
        scene.guard.on_event(
            {.kind = kind, .at = scene.clock.moment.wall, .ns = key.ns, .object = "d"},
            scene.names.get(key.ns, "d"));
    };
    const auto remove = [&] {
        scene.names.names.erase({key.ns, "d"});
        happens(EventKind::image_deleted);
        scene.check_suspects();
    };
    name_it();
    scene.guard.check_everything();
    scene.repairer.findings = {{{.kind = FindingKind::name_missing,
                                 .image = "d",
                                 .ns = key.ns,
                                 .object = "name d",
                                 .subject = "d",
                                 .expected = {},
                                 .found = "missing",
                                 .next_step = {}}},
                               {}};
    scene.repairer.on_restore = name_it;
    remove();
    CHECK(scene.repairer.restored == Names{"d"});
    CHECK(scene.guard.images().is_restored(key));
    CHECK(scene.guard.content_to_hold()[key.ns].size() == 1);

    scene.repairer.verified.clear();
    remove();
    CHECK_MESSAGE(scene.repairer.verified == Names{""}, "nothing was compared");
    CHECK(scene.repairer.restored == Names{"d"});
    REQUIRE(scene.guard.state().images.size() == 1);
    CHECK(scene.guard.state().images[0].is_removed);
    CHECK(scene.guard.state().images[0].problem == kRemoved);
    CHECK_MESSAGE(scene.guard.content_to_hold()[key.ns].empty(), "they want the space");
    CHECK_FALSE(scene.guard.suspects_due().has_value());
    scene.guard.check_everything();
    REQUIRE(scene.guard.state().images.size() == 1);
    CHECK(scene.guard.state().images[0].is_removed);
    CHECK(scene.guard.state().images[0].next_step.find("prebake bake -n moby") !=
          std::string::npos);

    name_it();
    happens(EventKind::image_created);
    scene.check_suspects();
    CHECK_MESSAGE(!scene.guard.state().images[0].is_removed, "it was pulled");
    remove();
    CHECK(scene.guard.state().images[0].is_removed);

    record.mutable_images(0)->mutable_baked_at()->set_seconds(1);
    scene.guard.set_record(record);
    CHECK_MESSAGE(!scene.guard.images().is_restored(key), "it was baked again");
}

TEST_CASE("containerd is not asked for what is in a graph driver") {
    Scene scene;
    v1::BakeRecord record;
    *record.add_images() = baked_image("a", 'a');
    *record.add_images() = baked_image("g", 'g');
    record.mutable_images(1)->mutable_placements(0)->set_namespace_("moby");
    record.mutable_images(1)->mutable_placements(0)->set_graph_driver("overlay2");
    scene.guard.set_record(record);
    scene.guard.check_everything();
    CHECK(scene.repairer.verified == Names{"a"});
    CHECK(scene.guard.content_to_hold() == HeldContent{{"k8s.io", {digest_of('a')}}});
}

}  // namespace
}  // namespace prebake::guard
