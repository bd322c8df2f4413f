#include "agent/guard/protected_images.h"

#include <doctest/doctest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

namespace prebake::guard::protected_images_test {

using prebake::store::BakedImages;
using prebake::store::SandboxImage;

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

std::shared_ptr<const BakedImages> baked(v1::BakeRecord record, SandboxImage sandbox = {}) {
    return std::make_shared<const BakedImages>(std::move(record), std::move(sandbox));
}

ProtectedImages protected_images() {
    ProtectedImages images;
    images.set_baked(baked(record()));
    return images;
}

TEST_CASE("an unpinned image is wanted without its pin, an evicted image is not wanted") {
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
    CHECK(images.baked().record().images(0).placements(0).pinned());

    images.set_evicted(kA, true);
    REQUIRE(images.wanted().images(0).placements_size() == 1);
    CHECK(images.wanted().images(0).placements(0).namespace_() == "default");

    images.set_unpinned(kA, false);
    CHECK(images.evicted().empty());
    CHECK(images.wanted().images(0).placements(0).pinned());
}

TEST_CASE("wanted() of some images has only their placements") {
    const ProtectedImages images = protected_images();
    const v1::BakeRecord some = images.wanted({kB});
    REQUIRE(some.images_size() == 1);
    CHECK(some.images(0).name() == "b");
    REQUIRE(some.images(0).placements_size() == 1);
    CHECK(some.images(0).placements(0).namespace_() == "k8s.io");
    CHECK(images.wanted({}).images().empty());
}

TEST_CASE("the sandbox image is protected even if it was not baked") {
    ProtectedImages images = protected_images();
    images.set_baked(baked(record(), {.name = "pause", .found = image("pause")}));
    CHECK(images.wanted().images_size() == 3);
    CHECK(images.wants_pin("k8s.io", "pause"));
    CHECK(images.pinned_names().contains({"k8s.io", "pause"}));
}

TEST_CASE("a new record drops what was unpinned of images that it does not have") {
    ProtectedImages images = protected_images();
    images.set_unpinned(kA, true);
    images.set_unpinned(kB, true);
    images.set_evicted(kB, true);
    v1::BakeRecord smaller;
    *smaller.add_images() = image("a");
    images.set_baked(baked(smaller));
    CHECK(images.unpinned() == std::set{kA});
    CHECK(images.evicted().empty());
}

TEST_CASE("what was unpinned is loaded for the images that are there") {
    ProtectedImages before = protected_images();
    before.set_unpinned(kA, true);
    before.set_unpinned(kB, true);
    before.set_evicted(kB, true);
    v1::LedgerState ledger;
    before.store(*ledger.mutable_unpinned());
    CHECK(ledger.unpinned_size() == 2);

    ProtectedImages after = protected_images();
    after.load(ledger.unpinned());
    CHECK(after.unpinned() == before.unpinned());
    CHECK(after.evicted() == before.evicted());
    CHECK_FALSE(after.take_changed());

    ProtectedImages none;
    none.load(ledger.unpinned());
    CHECK(none.unpinned().empty());
}

}  // namespace prebake::guard::protected_images_test
