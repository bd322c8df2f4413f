#include "agent/store/baked_images.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/oci/platform.h"

namespace prebake::store {
namespace {

/// In k8s.io (pinned) and in default. All images of this file have the same layer and config.
v1::BakedImage image(const std::string& name) {
    v1::BakedImage image;
    image.set_name(name);
    image.mutable_target()->set_digest("sha256:target-" + name);
    image.add_indexes()->set_digest("sha256:target-" + name);
    image.mutable_manifest()->set_digest("sha256:manifest-" + name);
    image.mutable_config()->set_digest("sha256:config");
    v1::Layer& layer = *image.add_layers();
    layer.set_digest("sha256:layer");
    layer.set_chain_id("sha256:chain");
    for (const char* ns : {"k8s.io", "default"}) {
        v1::Placement& placement = *image.add_placements();
        placement.set_namespace_(ns);
        placement.add_names(name);
        placement.set_layers_kept(true);
    }
    // Images of one config share CRI's name for it.
    image.mutable_placements(0)->add_names("sha256:config");
    return image;
}

v1::BakeRecord record() {
    v1::BakeRecord record;
    *record.add_images() = image("a");
    *record.add_images() = image("b");
    return record;
}

v1::BakedImage pause() {
    v1::BakedImage pause = image("pause");
    pause.mutable_placements()->DeleteSubrange(1, 1);
    return pause;
}

const ImageKey kA{.image = "a", .ns = "k8s.io"};
const ImageKey kB{.image = "b", .ns = "k8s.io"};
const ImageKey kPause{.image = "pause", .ns = "k8s.io"};

TEST_CASE("each namespace has its own images, in the order of the record") {
    const BakedImages baked(record());
    std::vector<ImageKey> keys;
    for (const PlacedImage& placed : baked.images()) {
        CHECK(placed.position == keys.size());
        CHECK(placed.is_recorded);
        CHECK(placed.image.name() == placed.key.image);
        CHECK(placed.placement.namespace_() == placed.key.ns);
        keys.push_back(placed.key);
    }
    CHECK(keys == std::vector<ImageKey>{kA, {"a", "default"}, kB, {"b", "default"}});
    CHECK(baked.contains(kA));
    CHECK_FALSE(baked.contains({.image = "a", .ns = "moby"}));
    CHECK(baked.is_recorded("a"));
    CHECK_FALSE(baked.is_recorded("c"));
}

TEST_CASE("images are found by name and by part, in one namespace") {
    const BakedImages baked(record());
    CHECK(baked.named("k8s.io", "a") == std::vector{kA});
    CHECK(baked.named("k8s.io", "sha256:config") == std::vector{kA, kB});
    CHECK(baked.named("moby", "a").empty());
    CHECK(baked.named("k8s.io", "sha256:layer").empty());
    for (const char* part : {"sha256:layer", "sha256:chain", "sha256:config"}) {
        CAPTURE(part);
        CHECK(baked.made_of("k8s.io", part) == std::vector{kA, kB});
    }
    for (const char* part : {"sha256:target-a", "sha256:manifest-a"}) {
        CAPTURE(part);
        CHECK(baked.made_of("k8s.io", part) == std::vector{kA});
    }
    CHECK(baked.made_of("moby", "sha256:layer").empty());
}

TEST_CASE("the first of several images with one name is the first of the record") {
    const BakedImages baked(record());
    REQUIRE(baked.first_named("k8s.io", "sha256:config") != nullptr);
    CHECK(baked.first_named("k8s.io", "sha256:config")->key == kA);
    CHECK(baked.first_named("k8s.io", "c") == nullptr);
    CHECK(baked.first_named("moby", "a") == nullptr);
}

TEST_CASE("of two platforms of one name, the one that this machine runs is first") {
    v1::BakeRecord two;
    const std::string host = oci::Platform::host().str();
    for (const std::string& platform : {std::string("plan9/mips"), host}) {
        v1::BakedImage& added = *two.add_images();
        added = image("a");
        added.set_platform(platform);
    }
    const BakedImages baked(two);
    CHECK(baked.first_named("k8s.io", "a")->key.platform == host);
    CHECK(baked.named("k8s.io", "a").size() == 2);
    CHECK_FALSE(baked.images()[0].runs_here);
    CHECK(runs_here("linux/") == runs_here(""));
}

TEST_CASE("an image has names and a target") {
    const BakedImages baked(record());
    CHECK(baked.names_of(kA) == std::vector<std::string>{"a", "sha256:config"});
    CHECK(baked.names_of({.image = "a", .ns = "default"}) == std::vector<std::string>{"a"});
    CHECK(baked.target_of(kA) == "sha256:target-a");
    CHECK(baked.names_of(kPause).empty());
    CHECK(baked.target_of(kPause).empty());
}

TEST_CASE("a layer that was not kept has no blob, and may share its digest with its chain") {
    v1::BakeRecord record;
    *record.add_images() = image("a");
    v1::BakedImage& baked = *record.mutable_images(0);
    baked.mutable_layers(0)->set_chain_id("sha256:layer");
    CHECK(BakedImages(record).made_of("k8s.io", "sha256:layer") == std::vector{kA});
    baked.mutable_placements(0)->set_layers_kept(false);
    CHECK(BakedImages(record).made_of("k8s.io", "sha256:layer") == std::vector{kA});
    baked.mutable_layers(0)->set_chain_id("sha256:chain");
    CHECK(BakedImages(record).made_of("k8s.io", "sha256:layer").empty());
    CHECK(BakedImages(record).made_of("k8s.io", "sha256:chain") == std::vector{kA});
}

TEST_CASE("the sandbox image is the recorded image of its name") {
    CHECK_FALSE(BakedImages(record()).sandbox_key().has_value());
    const BakedImages baked(record(), {.name = "a", .found = pause()});
    CHECK(baked.sandbox_key() == kA);
    CHECK(baked.images().size() == 4);
    CHECK_FALSE(baked.sandbox().found.has_value());
}

TEST_CASE("the sandbox image that the record does not have is the one that was found") {
    CHECK_FALSE(BakedImages(record(), {.name = "pause", .found = {}}).sandbox_key().has_value());
    const BakedImages baked(record(), {.name = "pause", .found = pause()});
    CHECK(baked.sandbox_key() == kPause);
    CHECK(baked.images().size() == 5);
    CHECK_FALSE(baked.images().back().is_recorded);
    CHECK(baked.contains(kPause));
    CHECK_FALSE(baked.is_recorded("pause"));
    CHECK(baked.record().images_size() == 2);
    CHECK(baked.named("k8s.io", "pause") == std::vector{kPause});
    CHECK(baked.made_of("k8s.io", "sha256:layer") == std::vector{kA, kB, kPause});
}

}  // namespace
}  // namespace prebake::store
