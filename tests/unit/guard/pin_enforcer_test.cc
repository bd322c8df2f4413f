#include "agent/guard/pin_enforcer.h"

#include <doctest/doctest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/store/baked_images.h"
#include "tests/unit/guard/fakes.h"

namespace prebake::guard::pin_enforcer_test {

const ImageKey kA{.image = "a", .ns = "k8s.io"};
const ImageKey kB{.image = "b", .ns = "k8s.io"};

/// The images a (used), b (unused) and pause (the sandbox image, unused), which take 100 bytes and
/// a blob of 10 each.
struct Scene {
    explicit Scene(PinLimits limits) : pins(limits, disk, names) {
        v1::BakeRecord record;
        for (const auto& [name, letter] :
             {std::pair("a", 'a'), std::pair("b", 'b'), std::pair("pause", 'c')}) {
            *record.add_images() = baked_image(name, letter);
            disk.layers["chain-" + std::string(name)] = 100;
            names.names[{"k8s.io", name}] = {
                .labels = {{std::string(store::kPinnedLabel), "pinned"}},
                .target = digest_of(letter)};
        }
        images.set_baked(std::make_shared<const store::BakedImages>(
            std::move(record), store::SandboxImage{.name = "pause", .found = {}}));
    }

    std::vector<PinChange> decide() {
        return pins.decide(images, {{"k8s.io", "overlayfs"}}, [](const ImageKey& key) {
            return Usage{.starts = key == kA ? 5U : 0U, .last_used = {}};
        });
    }

    FakeNames names;
    FakeDisk disk;
    ProtectedImages images;
    PinEnforcer pins;
};

TEST_CASE("without limits there is nothing to enforce") {
    CHECK_FALSE(Scene({}).pins.has_limits());
    CHECK(Scene({.max_pinned_bytes = 1}).pins.has_limits());
    CHECK(Scene({.min_free_bytes = 1}).pins.has_limits());
    CHECK(Scene({.min_free_ratio = 0.1}).pins.has_limits());
}

TEST_CASE("while the disk has room and every image is pinned, no layer is measured") {
    Scene scene({.min_free_bytes = 50});
    scene.disk.disk = DiskRoom{.free_bytes = 60, .total_bytes = 1000};
    CHECK(scene.decide().empty());
    CHECK(scene.disk.measured == 0);
}

TEST_CASE("if containerd's disk is not visible, the floor is not enforced") {
    Scene scene({.min_free_bytes = 50});
    CHECK(scene.decide().empty());
}

TEST_CASE("the least used image loses its pin, the sandbox image never does") {
    Scene scene({.max_pinned_bytes = 230});
    CHECK(scene.decide() == std::vector{PinChange{.key = kB, .is_pinned = false}});

    Scene tight({.max_pinned_bytes = 1});
    const std::vector<PinChange> changes = tight.decide();
    CHECK(changes == std::vector{PinChange{.key = kA, .is_pinned = false},
                                 PinChange{.key = kB, .is_pinned = false}});
}

TEST_CASE(
    "an unpinned image gets its pin back when there is room; an evicted one is no candidate") {
    Scene scene({.max_pinned_bytes = 1000});
    scene.images.set_unpinned(kB, true);
    CHECK(scene.decide() == std::vector{PinChange{.key = kB, .is_pinned = true}});
    scene.images.set_evicted(kB, true);
    CHECK(scene.decide().empty());
}

TEST_CASE("apply() removes and restores the pin of the image's names") {
    Scene scene({.max_pinned_bytes = 1});
    scene.images.set_unpinned(kB, true);
    scene.pins.apply({.key = kB, .is_pinned = false}, scene.images);
    CHECK_FALSE(scene.names.is_pinned("k8s.io", "b"));
    CHECK(scene.names.is_pinned("k8s.io", "a"));
    scene.images.set_unpinned(kB, false);
    scene.pins.apply({.key = kB, .is_pinned = true}, scene.images);
    CHECK(scene.names.is_pinned("k8s.io", "b"));
}

TEST_CASE("apply() leaves a name alone that is shared, moved or deleted") {
    Scene scene({.max_pinned_bytes = 1});
    v1::BakeRecord record = scene.images.baked().record();
    // a and b share a name: the ID of an equal configuration.
    for (int i : {0, 1}) record.mutable_images(i)->mutable_placements(0)->add_names("shared");
    record.mutable_images(1)->mutable_placements(0)->add_names("moved");
    record.mutable_images(1)->mutable_placements(0)->add_names("deleted");
    const containerd::Labels pinned{{std::string(store::kPinnedLabel), "pinned"}};
    scene.names.names[{"k8s.io", "shared"}] = {.labels = pinned, .target = digest_of('b')};
    scene.names.names[{"k8s.io", "moved"}] = {.labels = pinned, .target = digest_of('d')};
    scene.images.set_baked(std::make_shared<const store::BakedImages>(std::move(record)));

    scene.images.set_unpinned(kB, true);
    scene.pins.apply({.key = kB, .is_pinned = false}, scene.images);
    CHECK_FALSE(scene.names.is_pinned("k8s.io", "b"));
    CHECK(scene.names.is_pinned("k8s.io", "shared"));
    CHECK(scene.names.is_pinned("k8s.io", "moved"));
    CHECK(scene.names.names.count({"k8s.io", "deleted"}) == 0);
}

TEST_CASE("apply() unpins a shared image ID whatever manifest it points at") {
    Scene scene({.max_pinned_bytes = 1});
    const std::string id = digest_of('9');
    v1::BakeRecord record = scene.images.baked().record();
    for (int i : {0, 1}) record.mutable_images(i)->mutable_placements(0)->add_names(id);
    scene.images.set_baked(std::make_shared<const store::BakedImages>(std::move(record)));
    scene.names.names[{"k8s.io", id}] = {.labels = {{std::string(store::kPinnedLabel), "pinned"}},
                                         .target = digest_of('a')};

    scene.images.set_unpinned(kA, true);
    scene.pins.apply({.key = kA, .is_pinned = false}, scene.images);
    CHECK(scene.names.is_pinned("k8s.io", id));
    scene.images.set_unpinned(kB, true);
    scene.pins.apply({.key = kB, .is_pinned = false}, scene.images);
    CHECK_FALSE(scene.names.is_pinned("k8s.io", id));
}

}  // namespace prebake::guard::pin_enforcer_test
