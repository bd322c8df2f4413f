#include "agent/cli/repair.h"

#include <doctest/doctest.h>

#include <string>

namespace prebake::cli {
namespace {

using store::FindingKind;

const std::string kDigest = "sha256:" + std::string(64, 'a');

void add_image(v1::BakeRecord& record, const std::string& name) {
    v1::BakedImage& image = *record.add_images();
    image.set_name(name);
    image.set_platform("linux/arm64");
    image.mutable_target()->set_digest(kDigest);
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_("k8s.io");
    placement.set_pinned(true);
    placement.add_names(name);
}

void add_finding(store::Verification& found, FindingKind kind, const std::string& image) {
    found.findings.push_back({.kind = kind,
                              .image = image,
                              .platform = "linux/arm64",
                              .ns = "k8s.io",
                              .object = {},
                              .subject = {},
                              .expected = {},
                              .found = {},
                              .next_step = {}});
}

TEST_CASE("what is repaired: the recorded digests of images with findings, and the sandbox image") {
    v1::BakeRecord record;
    for (const char* name :
         {"reg.example/sound:1", "reg.example/broken:1", "reg.example/moved:1"}) {
        add_image(record, name);
    }
    store::Verification found;
    CHECK(requests_to_repair(record, found).empty());
    add_finding(found, FindingKind::snapshot_missing, "reg.example/broken:1");
    add_finding(found, FindingKind::unpinned, "reg.example/broken:1");
    add_finding(found, FindingKind::name_moved, "reg.example/moved:1");
    add_finding(found, FindingKind::unpinned, "reg.example/moved:1");
    // A bake does not look at files of snapshots.
    add_finding(found, FindingKind::tree_damaged, "reg.example/sound:1");
    add_finding(found, FindingKind::name_missing, "registry.k8s.io/pause:3.9");
    const auto requests = requests_to_repair(record, found);
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].reference.str() == "reg.example/broken:1@" + kDigest);
    CHECK(requests[0].platform == oci::Platform::parse("linux/arm64"));
    CHECK(requests[0].pin);
    CHECK_FALSE(requests[0].is_sandbox);
    CHECK(requests[1].reference.str() == "registry.k8s.io/pause:3.9");
    CHECK(requests[1].is_sandbox);
}

}  // namespace
}  // namespace prebake::cli
