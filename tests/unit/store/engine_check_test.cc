#include "agent/store/engine_check.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/docker/fake_engine.h"

namespace prebake::store {
namespace {

constexpr const char* kTag = "docker.io/library/nginx:1.27";
constexpr const char* kDigest = "docker.io/library/nginx@sha256:aa";

v1::BakeRecord one_image() {
    v1::BakeRecord record;
    v1::BakedImage& image = *record.add_images();
    image.set_name(kTag);
    image.set_platform("linux/arm64/v8");
    image.mutable_target()->set_digest("sha256:aa");
    image.mutable_config()->set_digest("sha256:cc");
    image.add_layers()->set_diff_id("sha256:01");
    image.add_layers()->set_diff_id("sha256:02");
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_("moby");
    placement.set_graph_driver("overlay2");
    placement.add_names(kTag);
    placement.add_names(kDigest);
    return record;
}

docker::EngineImage held() {
    return {.id = "sha256:cc",
            .repo_tags = {},
            .repo_digests = {},
            .platform = oci::Platform::parse("linux/arm64"),
            .layers = {"sha256:01", "sha256:02"}};
}

TEST_CASE("dockerd has to have the image by each of its names") {
    docker::FakeEngine engine;
    engine.images = {{kTag, held()}, {kDigest, held()}};
    CHECK(check_engine(one_image(), engine).empty());

    engine.images.erase(kDigest);
    const std::vector<Finding> findings = check_engine(one_image(), engine);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].kind == FindingKind::digest_lost);
    CHECK(findings[0].subject == kDigest);
    CHECK(findings[0].ns == "moby");
    CHECK(findings[0].next_step.find("prebake bake -n moby") != std::string::npos);

    engine.images.clear();
    const std::vector<Finding> gone = check_engine(one_image(), engine);
    REQUIRE(gone.size() == 2);
    CHECK(gone[0].kind == FindingKind::name_missing);
    CHECK(gone[1].kind == FindingKind::name_missing);
}

TEST_CASE("a name has to lead to the same image") {
    struct Case {
        const char* what;
        void (*change)(docker::EngineImage&);
        const char* found;
    };
    const Case cases[] = {
        {"another ID", [](docker::EngineImage& image) { image.id = "sha256:dd"; },
         "image sha256:dd"},
        {"another platform",
         [](docker::EngineImage& image) { image.platform.architecture = "amd64"; },
         "one for linux/amd64"},
        {"fewer layers", [](docker::EngineImage& image) { image.layers.pop_back(); }, "1"},
        {"another layer", [](docker::EngineImage& image) { image.layers[1] = "sha256:03"; },
         "sha256:03"},
    };
    for (const Case& test : cases) {
        CAPTURE(test.what);
        docker::FakeEngine engine;
        docker::EngineImage image = held();
        test.change(image);
        engine.images = {{kTag, image}, {kDigest, held()}};
        const std::vector<Finding> findings = check_engine(one_image(), engine);
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].kind == FindingKind::name_moved);
        CHECK(findings[0].found == test.found);
    }
}

TEST_CASE("dockerd is not asked about images in containerd") {
    v1::BakeRecord record = one_image();
    record.mutable_images(0)->mutable_placements(0)->clear_graph_driver();
    docker::FakeEngine engine;
    CHECK(check_engine(record, engine).empty());
}

}  // namespace
}  // namespace prebake::store
