#include "agent/bake/name_conflicts.h"

#include <doctest/doctest.h>

namespace prebake::bake {
namespace {

oci::Descriptor descriptor(const std::string& name) {
    return {.media_type = "m",
            .digest = oci::Digest::of(name),
            .size = 1,
            .annotations = {},
            .platform = {}};
}

/// An image with digests made from `contents`.
PlannedImage image(const std::string& name, const std::string& contents) {
    PlannedImage planned;
    planned.request = {.reference = oci::Reference::parse(name),
                       .platform = oci::Platform::parse("linux/amd64"),
                       .namespaces = {"k8s.io"},
                       .aliases = {},
                       .origin = name + " in the list"};
    const oci::Descriptor manifest = descriptor(contents);
    const oci::Descriptor config = descriptor(contents + " config");
    planned.image = ResolvedImage{{.target = manifest,
                                   .indexes = {},
                                   .manifest = {.descriptor = manifest, .bytes = {}},
                                   .config = {.descriptor = config, .bytes = {}},
                                   .contents = {.media_type = "m", .config = config, .layers = {}},
                                   .diff_ids = {},
                                   .chain_ids = {}},
                                  planned.request};
    return planned;
}

PlannedImage with_alias(PlannedImage planned, const std::string& alias) {
    planned.request.aliases.push_back(oci::Reference::parse(alias));
    planned.image->request = planned.request;
    return planned;
}

PlannedImage unpinned(PlannedImage planned) {
    planned.request.pin = false;
    planned.image->request = planned.request;
    return planned;
}

/// An earlier bake put b:1 into k8s.io.
v1::Placement& add_b(v1::BakeRecord& record) {
    v1::BakedImage& baked = *record.add_images();
    baked.set_name("docker.io/library/b:1");
    baked.set_platform("linux/amd64");
    v1::Placement& placement = *baked.add_placements();
    placement.set_namespace_("k8s.io");
    return placement;
}

TEST_CASE("an alias that is the name of another image is a problem of both, and of no third") {
    std::vector<PlannedImage> images{with_alias(image("a:1", "A"), "b:1"), image("b:1", "B"),
                                     image("c:1", "C")};
    mark_name_conflicts(images);
    REQUIRE(images[0].problem);
    REQUIRE(images[1].problem);
    CHECK(images[0].problem->message().find("b:1 in the list") != std::string::npos);
    CHECK(images[1].problem->message().find("a:1 in the list") != std::string::npos);
    CHECK_FALSE(images[0].image);
    CHECK_FALSE(images[2].problem);
    CHECK(images[2].image);
}

TEST_CASE("the same image may have a name twice") {
    std::vector<PlannedImage> images{with_alias(image("a:1", "A"), "b:1"), image("b:1", "A")};
    mark_name_conflicts(images);
    CHECK_FALSE(images[0].problem);
    CHECK_FALSE(images[1].problem);
}

/// The same build with other manifests, as by another compression.
PlannedImage repacked(PlannedImage planned, const std::string& how) {
    oci::Image& image = *planned.image;
    image.target = image.manifest.descriptor = descriptor(how);
    return planned;
}

TEST_CASE("images with one config and different manifests share the image ID") {
    std::vector<PlannedImage> images{image("a:1", "A"), repacked(image("a:2", "A"), "zstd"),
                                     repacked(image("b:1", "A"), "estargz"), image("c:1", "C")};
    mark_name_conflicts(images);
    for (const PlannedImage& planned : images) CHECK_FALSE(planned.problem);
    const store::NameSet id{{"k8s.io", oci::Digest::of("A config").str()}};
    CHECK(shared_ids(images, {}) == id);
    CHECK(shared_ids({image("a:1", "A")}, {}).empty());
}

TEST_CASE("an image ID may be shared with an image of an earlier bake") {
    v1::BakeRecord record;
    v1::Placement& placement = add_b(record);
    placement.add_names(oci::Digest::of("A config").str());
    placement.add_names("docker.io/library/b:1");
    CHECK(shared_ids({image("a:1", "A")}, record).size() == 1);
    CHECK(shared_ids({image("b:1", "A")}, record).empty());
}

TEST_CASE("names in different namespaces do not conflict") {
    PlannedImage elsewhere = image("b:1", "B");
    elsewhere.request.namespaces = {"moby"};
    elsewhere.image->request = elsewhere.request;
    std::vector<PlannedImage> images{with_alias(image("a:1", "A"), "b:1"), elsewhere};
    mark_name_conflicts(images);
    CHECK_FALSE(images[0].problem);
}

TEST_CASE("names that an unpinned image shares with a pinned one are pinned") {
    const std::string config = oci::Digest::of("A config").str();
    const auto pinned = pinned_names({unpinned(image("a:1", "A")), image("b:1", "A")}, {});
    CHECK(pinned.contains({"k8s.io", config}));
    CHECK(pinned.contains({"k8s.io", "docker.io/library/b:1"}));
    CHECK_FALSE(pinned.contains({"k8s.io", "docker.io/library/a:1"}));
}

TEST_CASE("names that an earlier bake pinned stay pinned, unless their image is baked now") {
    v1::BakeRecord record;
    v1::Placement& placement = add_b(record);
    placement.set_pinned(true);
    placement.add_names("shared");
    CHECK(pinned_names({unpinned(image("a:1", "A"))}, record).contains({"k8s.io", "shared"}));
    CHECK_FALSE(pinned_names({unpinned(image("b:1", "A"))}, record).contains({"k8s.io", "shared"}));
}

}  // namespace
}  // namespace prebake::bake
