#include "agent/bake/plan.h"

#include <doctest/doctest.h>

#include <map>

namespace prebake::bake::plan_test {

constexpr std::uint64_t kManifestBytes = 10;
constexpr std::uint64_t kConfigBytes = 20;

oci::Digest digest(const std::string& name) {
    return oci::Digest::of(name);
}

oci::Descriptor descriptor(const std::string& name, std::uint64_t size, const std::string& type) {
    return {.media_type = type,
            .digest = digest(name),
            .size = size,
            .annotations = {},
            .platform = {}};
}

/// An image of gzip layers, each given as a name and a size. Its chain IDs are "chain <layer
/// name>".
PlannedImage image(const std::string& name,
                   const std::vector<std::pair<std::string, std::uint64_t>>& layers) {
    const std::string gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    PlannedImage planned;
    planned.request = {.reference = oci::Reference::parse(name),
                       .platform = {},
                       .namespaces = {"k8s.io"},
                       .aliases = {},
                       .origin = "test"};
    const oci::Descriptor manifest = descriptor(name + " manifest", kManifestBytes, "m");
    const oci::Descriptor config = descriptor(name + " config", kConfigBytes, "c");
    ResolvedImage resolved{{.target = manifest,
                            .indexes = {},
                            .manifest = {.descriptor = manifest, .bytes = {}},
                            .config = {.descriptor = config, .bytes = {}},
                            .contents = {.media_type = "m", .config = config, .layers = {}},
                            .diff_ids = {},
                            .chain_ids = {}},
                           planned.request};
    for (const auto& [layer, size] : layers) {
        resolved.contents.layers.push_back(descriptor(layer, size, gzip));
        resolved.diff_ids.push_back(digest("diff " + layer));
        resolved.chain_ids.push_back(digest("chain " + layer));
    }
    planned.image = std::move(resolved);
    return planned;
}

TEST_CASE("with an empty store everything is fetched, shared layers once") {
    const Plan plan = make_plan(
        {image("a:1", {{"base", 1000}, {"a", 100}}), image("b:1", {{"base", 1000}, {"b", 200}})},
        {});
    CHECK(plan.bytes_to_fetch == 1000 + 100 + 200 + 2 * (kManifestBytes + kConfigBytes));
    CHECK(plan.bytes_present == 0);
    CHECK(plan.images[0].compressed_bytes == 1000 + 100 + kManifestBytes + kConfigBytes);
    CHECK_FALSE(plan.images[0].unpacked);
    CHECK(plan.least_snapshot_bytes == 1300);
    CHECK(plan.estimated_disk_bytes == plan.bytes_to_fetch + 3250);
}

TEST_CASE("present blobs are not fetched, and present snapshots take no more disk") {
    PresentContent present;
    for (const char* blob : {"base", "a", "a:1 manifest", "a:1 config"}) {
        present.blobs[{"k8s.io", digest(blob)}];
    }
    present.snapshots.emplace("k8s.io", digest("chain base"));
    present.snapshots.emplace("k8s.io", digest("chain a"));
    const Plan plan = make_plan({image("a:1", {{"base", 1000}, {"a", 100}})}, present);
    CHECK(plan.bytes_to_fetch == 0);
    CHECK(plan.bytes_present == 1130);
    CHECK(plan.estimated_disk_bytes == 0);
    CHECK(plan.images[0].unpacked);
}

TEST_CASE("a blob in one namespace serves the others, a snapshot does not") {
    PlannedImage both = image("a:1", {{"base", 1000}});
    both.request.namespaces = {"k8s.io", "moby"};
    both.image->request = both.request;
    PresentContent present;
    present.blobs[{"moby", digest("base")}];
    present.snapshots.emplace("moby", digest("chain base"));
    const Plan plan = make_plan({both}, present);
    CHECK(plan.bytes_to_fetch == kManifestBytes + kConfigBytes);
    CHECK_FALSE(plan.images[0].unpacked);
    CHECK(plan.least_snapshot_bytes == 1000);
}

TEST_CASE("the work lists each layer and each snapshot once, and knows what is done") {
    PlannedImage both = image("a:1", {{"base", 1000}, {"a", 100}});
    both.request.namespaces = {"k8s.io", "moby"};
    both.image->request = both.request;
    PresentContent present;
    present.blobs[{"k8s.io", digest("base")}];
    present.snapshots.emplace("moby", digest("chain base"));
    const Plan plan = make_plan({both, image("b:1", {{"base", 1000}})}, present);
    CHECK_MESSAGE(plan.layers.size() == 2, "the documents were read before the bake");
    for (const PlannedWork& work : plan.layers) {
        CHECK(work.is_done == (work.id == digest("base").str()));
    }
    std::map<std::string, std::uint64_t> left;
    for (const PlannedWork& work : plan.snapshots) {
        if (!work.is_done) left[work.id] = work.bytes;
    }
    CHECK(plan.snapshots.size() == 4);
    CHECK(left ==
          std::map<std::string, std::uint64_t>{{snapshot_id("k8s.io", digest("chain base")), 1000},
                                               {snapshot_id("k8s.io", digest("chain a")), 100},
                                               {snapshot_id("moby", digest("chain a")), 100}});
}

TEST_CASE("a blob that one image does not need is fetched for another one") {
    PlannedImage dropping = image("a:1", {{"base", 1000}});
    dropping.request.keep_layers = false;
    dropping.image->request = dropping.request;
    PresentContent present;
    present.snapshots.emplace("k8s.io", digest("chain base"));
    const PlannedImage keeping = image("b:1", {{"base", 1000}});
    const std::uint64_t documents = 2 * (kManifestBytes + kConfigBytes);
    CHECK(make_plan({dropping}, present).bytes_to_fetch == documents / 2);
    CHECK(make_plan({dropping, keeping}, present).bytes_to_fetch == 1000 + documents);
    CHECK(make_plan({keeping, dropping}, present).bytes_to_fetch == 1000 + documents);
}

TEST_CASE("layers that are not kept are needed only until they are unpacked") {
    PlannedImage dropping = image("a:1", {{"base", 1000}, {"a", 100}});
    dropping.request.keep_layers = false;
    dropping.image->request = dropping.request;
    PresentContent present;
    present.snapshots.emplace("k8s.io", digest("chain base"));
    CHECK(layers_needed(*dropping.image, present) == std::vector<std::size_t>{1});
    dropping.image->request.keep_layers = true;
    CHECK(layers_needed(*dropping.image, present) == std::vector<std::size_t>{0, 1});
}

TEST_CASE("an image with a problem adds nothing") {
    PlannedImage broken;
    broken.request = image("a:1", {}).request;
    broken.problem = Error(Errc::not_found, "no such image");
    const Plan plan = make_plan({broken}, {});
    CHECK(plan.bytes_to_fetch == 0);
    CHECK(plan.images.size() == 1);
}

TEST_CASE("layers for a graph driver are pulled by dockerd, once") {
    const auto in_engine = [](const std::string& name, std::vector<std::string> namespaces) {
        PlannedImage planned = image(name, {{"base", 1000}, {name, 100}});
        planned.request.platform = oci::Platform::parse("linux/amd64");
        planned.request.namespaces = std::move(namespaces);
        planned.request.in_graph_driver = true;
        planned.image->request = planned.request;
        return planned;
    };
    const Plan plan = make_plan({in_engine("a:1", {}), in_engine("b:1", {})}, {});
    CHECK(plan.bytes_to_fetch == 1200);
    CHECK(plan.engine_bytes == 1200);
    CHECK(plan.least_snapshot_bytes == 0);
    CHECK(plan.images[0].compressed_bytes == 1100);
    CHECK_FALSE(plan.images[0].unpacked);

    PresentContent present;
    present.in_engine.emplace("docker.io/library/a:1", "linux/amd64");
    const Plan second = make_plan({in_engine("a:1", {}), in_engine("b:1", {})}, present);
    CHECK(second.engine_bytes == 100);
    CHECK(second.images[0].unpacked);
    CHECK(second.images[0].bytes_present == 1100);
    CHECK_FALSE(second.images[1].unpacked);

    // For pods, too: prebake fetches it, and dockerd pulls it.
    const Plan both = make_plan({in_engine("a:1", {"k8s.io"})}, {});
    CHECK(both.bytes_to_fetch == 1100 + kManifestBytes + kConfigBytes + 1100);
    CHECK(both.images[0].compressed_bytes == 1100 + kManifestBytes + kConfigBytes);
}

}  // namespace prebake::bake::plan_test
