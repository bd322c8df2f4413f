#include "agent/guard/protected_images.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using prebake::guard::ImageKey;
using prebake::guard::ProtectedImages;
namespace v1 = prebake::v1;

namespace {

/// In k8s.io (pinned) and in default; its layer is shared by all images of this file.
v1::BakedImage image(const std::string& name) {
    v1::BakedImage image;
    image.set_name(name);
    image.mutable_target()->set_digest("sha256:target-" + name);
    image.mutable_manifest()->set_digest("sha256:target-" + name);
    image.mutable_config()->set_digest("sha256:config");
    v1::Layer& layer = *image.add_layers();
    layer.set_digest("sha256:layer");
    layer.set_chain_id("sha256:chain");
    for (const char* ns : {"k8s.io", "default"}) {
        v1::Placement& placement = *image.add_placements();
        placement.set_namespace_(ns);
        placement.add_names(name);
        placement.set_pinned(placement.namespace_() == "k8s.io");
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

const ImageKey kA{.image = "a", .ns = "k8s.io"};
const ImageKey kB{.image = "b", .ns = "k8s.io"};

ProtectedImages protected_images() {
    ProtectedImages images;
    images.set_record(record());
    return images;
}

}  // namespace

TEST_CASE("images are found by their names and by what they are made of, per namespace") {
    const ProtectedImages images = protected_images();
    CHECK(images.named("k8s.io", "a") == std::vector{kA});
    CHECK(images.named("k8s.io", "sha256:config") == std::vector{kA, kB});
    CHECK(images.named("moby", "a").empty());
    CHECK(images.named("k8s.io", "sha256:layer").empty());
    for (const char* part : {"sha256:layer", "sha256:chain", "sha256:config"}) {
        CAPTURE(part);
        CHECK(images.made_of("k8s.io", part) == std::vector{kA, kB});
    }
    CHECK(images.made_of("k8s.io", "sha256:target-a") == std::vector{kA});
    CHECK(images.target_of(kA) == "sha256:target-a");
    CHECK(images.names_of(kA) == std::vector<std::string>{"a", "sha256:config"});
}

TEST_CASE("what the budget took is wanted without its pin, what was evicted not at all") {
    ProtectedImages images = protected_images();
    images.set_evicted(kA, true);
    CHECK_MESSAGE(images.evicted().empty(), "only what was unpinned can be evicted");

    images.set_unpinned(kA, true);
    CHECK_FALSE(images.wanted().images(0).placements(0).pinned());
    CHECK(images.wanted().images(1).placements(0).pinned());
    CHECK_FALSE(images.wants_pin("k8s.io", "a"));
    CHECK_MESSAGE(images.wants_pin("k8s.io", "sha256:config"), "b has it too");
    CHECK_FALSE(images.pinned_names().contains({"k8s.io", "a"}));
    CHECK(images.pinned_names().contains({"k8s.io", "sha256:config"}));
    CHECK(images.record().images(0).placements(0).pinned());

    images.set_evicted(kA, true);
    REQUIRE(images.wanted().images(0).placements_size() == 1);
    CHECK(images.wanted().images(0).placements(0).namespace_() == "default");

    images.set_unpinned(kA, false);
    CHECK(images.evicted().empty());
    CHECK(images.wanted().images(0).placements(0).pinned());
}

TEST_CASE("wanted() of some images has these placements alone") {
    const ProtectedImages images = protected_images();
    const v1::BakeRecord some = images.wanted({kB});
    REQUIRE(some.images_size() == 1);
    CHECK(some.images(0).name() == "b");
    REQUIRE(some.images(0).placements_size() == 1);
    CHECK(some.images(0).placements(0).namespace_() == "k8s.io");
    CHECK(images.wanted({}).images().empty());
}

TEST_CASE("the sandbox image is protected whether it was baked or not") {
    ProtectedImages images = protected_images();
    CHECK_FALSE(images.sandbox_key().has_value());
    images.set_sandbox("a", {});
    CHECK(images.sandbox_key() == kA);
    images.set_sandbox("pause", {});
    CHECK_FALSE(images.sandbox_key().has_value());
    images.set_sandbox("pause", image("pause"));
    CHECK(images.sandbox_key() == ImageKey{.image = "pause", .ns = "k8s.io"});
    CHECK(images.wanted().images_size() == 3);
    CHECK(images.record().images_size() == 2);
    CHECK_FALSE(images.is_baked("pause"));
    CHECK(images.wants_pin("k8s.io", "pause"));
}

TEST_CASE("a new record forgets what was unpinned of images that it does not have") {
    ProtectedImages images = protected_images();
    images.set_unpinned(kA, true);
    images.set_unpinned(kB, true);
    images.set_evicted(kB, true);
    v1::BakeRecord smaller;
    *smaller.add_images() = image("a");
    images.set_record(smaller);
    CHECK(images.unpinned() == std::set{kA});
    CHECK(images.evicted().empty());
    CHECK(images.named("k8s.io", "b").empty());
}
