#include "agent/bake/present_content.h"

#include <doctest/doctest.h>

#include "tests/unit/bake/test_image.h"

namespace prebake::bake {
namespace {

using test::chain_of;
using test::image_of;

void add_blob(store::Holdings& held, const std::string& bytes, store::Labels labels = {}) {
    const oci::Digest digest = oci::Digest::of(bytes);
    held.blobs.emplace(
        digest.str(),
        containerd::BlobInfo{.digest = digest, .size = bytes.size(), .labels = std::move(labels)});
}

void add_snapshot(store::Holdings& held, const std::string& layer) {
    const std::string name = chain_of(layer).str();
    held.snapshots.emplace(name,
                           containerd::SnapshotInfo{.name = name, .parent = {}, .labels = {}});
}

store::Holdings holdings(const std::string& ns) {
    return {.ns = ns, .snapshotter = "overlayfs", .images = {}, .blobs = {}, .snapshots = {}};
}

TEST_CASE("what a namespace has of an image") {
    const ResolvedImage image = image_of("a:1", {"one", "two", "three"});
    store::Holdings held = holdings("k8s.io");
    add_blob(held, "one", {{"label", "one"}});
    for (const char* blob : {"a:1 manifest", "two", "of another image"}) {
        add_blob(held, blob);
    }
    add_snapshot(held, "one");
    add_snapshot(held, "of another image");

    std::vector<oci::Digest> asked;
    PresentContent present;
    add_present(
        image, held,
        [&](const containerd::BlobInfo& blob) {
            asked.push_back(blob.digest);
            return blob.digest != oci::Digest::of("two");  // its file is lost
        },
        present);
    CHECK(asked == std::vector<oci::Digest>{oci::Digest::of("a:1 manifest"), oci::Digest::of("one"),
                                            oci::Digest::of("two")});
    const std::map<std::pair<std::string, oci::Digest>, store::Labels> expected{
        {{"k8s.io", oci::Digest::of("a:1 manifest")}, {}},
        {{"k8s.io", oci::Digest::of("one")}, {{"label", "one"}}}};
    CHECK(present.blobs == expected);
    CHECK(present.snapshots ==
          std::set<std::pair<std::string, oci::Digest>>{{"k8s.io", chain_of("one")}});
}

TEST_CASE("a blob of several images is read once") {
    store::Holdings held = holdings("k8s.io");
    add_blob(held, "one");
    int reads = 0;
    PresentContent present;
    for (const char* name : {"a:1", "b:1"}) {
        add_present(
            image_of(name, {"one"}), held,
            [&](const containerd::BlobInfo& /*blob*/) {
                ++reads;
                return true;
            },
            present);
    }
    CHECK(reads == 1);
}

TEST_CASE("blobs are shared between the namespaces of a request, snapshots are not") {
    const ResolvedImage image = image_of("a:1", {"one"}, {"k8s.io", "moby"});
    store::Holdings held = holdings("moby");
    add_blob(held, "one");
    add_snapshot(held, "one");
    PresentContent present;
    add_present(
        image, held, [](const containerd::BlobInfo& /*blob*/) { return true; }, present);
    CHECK(present.has_blob(image.request, oci::Digest::of("one")));
    CHECK_FALSE(present.has_snapshot(image.request, chain_of("one")));
    held.ns = "k8s.io";
    add_present(
        image, held, [](const containerd::BlobInfo& /*blob*/) { return true; }, present);
    CHECK(present.has_snapshot(image.request, chain_of("one")));
}

}  // namespace
}  // namespace prebake::bake
