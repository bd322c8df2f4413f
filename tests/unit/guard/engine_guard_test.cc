#include "agent/guard/engine_guard.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace prebake::guard::engine_guard_test {

using store::Finding;
using store::FindingKind;

const ImageKey kKey{.image = "docker.io/library/a:1", .ns = "moby", .platform = "linux/amd64"};
const Time kChecked{std::chrono::seconds(1'000)};

v1::BakeRecord record(int baked_at = 1) {
    v1::BakeRecord record;
    v1::BakedImage& image = *record.add_images();
    image.set_name(kKey.image);
    image.set_platform(kKey.platform);
    image.mutable_config()->set_digest("sha256:c");
    image.mutable_baked_at()->set_seconds(baked_at);
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(kKey.ns);
    placement.add_names(kKey.image);
    placement.set_graph_driver("overlay2");
    placement.set_pinned(true);
    return record;
}

Finding missing() {
    return {.kind = FindingKind::name_missing,
            .image = kKey.image,
            .platform = kKey.platform,
            .ns = kKey.ns,
            .object = "name " + kKey.image,
            .subject = kKey.image,
            .expected = "image sha256:c",
            .found = "no such name in dockerd",
            .next_step = "bake it again"};
}

struct Scene {
    ProtectedImages images;
    std::vector<std::string> lines;
    ActivityLog log{[this](Severity, const std::string& line) { lines.push_back(line); }};
    EngineGuard guard{images, log, current_moment};

    Scene() { use(record()); }
    void use(const v1::BakeRecord& baked) {
        images.set_baked(std::make_shared<const store::BakedImages>(baked));
        guard.set_record(baked);
    }
    const ImageHealth& health() const { return guard.images().at(0); }
};

TEST_CASE("a lost tag is restored once, and then somebody means it") {
    Scene at;
    CHECK_FALSE(at.guard.is_checked());
    CHECK(at.guard.judge({}, kChecked).empty());
    CHECK(at.guard.is_checked());
    CHECK(at.health().is_usable());
    CHECK_FALSE(at.health().wants_pin);
    CHECK(at.health().checked_at == kChecked);

    const std::vector<LostTag> lost = at.guard.judge({missing()}, kChecked);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].name == kKey.image);
    CHECK(lost[0].image_id == "sha256:c");
    CHECK_FALSE(at.health().is_usable());
    at.guard.tagged(lost[0], {});
    CHECK(at.guard.judge({}, kChecked).empty());
    CHECK(at.health().is_usable());
    CHECK(at.health().is_repaired);
    REQUIRE(at.log.repairs().size() == 1);
    CHECK(at.log.repairs()[0].what() == "recreated the name");

    for (int check = 0; check < 2; ++check) {
        CHECK(at.guard.judge({missing()}, kChecked).empty());
        CHECK(at.health().is_removed);
        CHECK_FALSE(at.health().is_needed());
        CHECK(at.health().problem == kRemoved);
        CHECK(at.health().next_step == "bake it again");
    }
    CHECK_MESSAGE(at.lines.size() == 2, "the repair, and the removal once");
    // Somebody pulled it, and removes it again.
    CHECK(at.guard.judge({}, kChecked).empty());
    CHECK_FALSE(at.health().is_removed);
    CHECK(at.guard.judge({missing()}, kChecked).empty());
    CHECK(at.health().is_removed);

    at.use(record(2));
    CHECK_FALSE(at.guard.is_checked());
    CHECK_MESSAGE(at.guard.judge({missing()}, kChecked).size() == 1, "it was baked again");
}

TEST_CASE("what is gone with its layers cannot be restored") {
    const Error gone(Errc::not_found, "dockerd has no image sha256:c any more");
    Scene at;
    SUBCASE("it was there: somebody removed it") {
        at.guard.judge({}, kChecked);
        const std::vector<LostTag> lost = at.guard.judge({missing()}, kChecked);
        REQUIRE(lost.size() == 1);
        at.guard.tagged(lost[0], gone);
        CHECK(at.guard.judge({missing()}, kChecked).empty());
        CHECK(at.health().is_removed);
        CHECK(at.log.repairs().empty());
    }
    SUBCASE("it was never there") {
        const std::vector<LostTag> lost = at.guard.judge({missing()}, kChecked);
        REQUIRE(lost.size() == 1);
        at.guard.tagged(lost[0], gone);
        CHECK_MESSAGE(at.guard.judge({missing()}, kChecked).empty(), "it is tried once");
        CHECK_FALSE(at.health().is_removed);
        CHECK_FALSE(at.health().is_usable());
        REQUIRE(at.log.repairs().size() == 1);
        CHECK(at.log.repairs()[0].has_problem());
        at.guard.start_over();
        CHECK(at.guard.judge({missing()}, kChecked).size() == 1);
    }
}

TEST_CASE("a dockerd without the graph driver has none of its images") {
    Scene at;
    at.guard.judge_absent();
    CHECK(at.guard.is_checked());
    CHECK_FALSE(at.health().is_usable());
    CHECK(at.health().problem == "dockerd does not use the graph driver overlay2");
}

TEST_CASE("a removal outlives the daemon, but not the next bake") {
    Scene at;
    at.images.set_removed(kKey, true);
    CHECK_MESSAGE(at.images.removed().empty(), "only what was restored can be removed");
    at.images.set_restored(kKey);
    at.images.set_removed(kKey, true);
    CHECK(at.images.take_changed());
    google::protobuf::RepeatedPtrField<v1::RestoredImage> stored;
    at.images.store(stored);

    Scene restarted;
    restarted.images.load(stored);
    CHECK(restarted.images.is_restored(kKey));
    CHECK(restarted.images.removed().contains(kKey));
    CHECK_FALSE(restarted.images.take_changed());
    restarted.use(record(2));
    CHECK(restarted.images.removed().empty());
    restarted.images.load(stored);
    CHECK_FALSE(restarted.images.is_restored(kKey));
}

}  // namespace prebake::guard::engine_guard_test
