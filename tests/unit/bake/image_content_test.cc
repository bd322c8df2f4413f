#include "agent/bake/image_content.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/unit/bake/test_image.h"
#include "tests/unit/bake/whole_content.h"

namespace prebake::bake::image_content_test {

using test::chain_of;
using test::image_of;
using test::whole_content;

const store::Snapshotters kSnapshotters{{"k8s.io", "overlayfs"}, {"moby", "overlayfs"}};

bool has_everything(const PresentContent& present, const ResolvedImage& image) {
    BlobRepositories repositories;
    add_repository(repositories, image);
    return has_all(present, image, "k8s.io", kSnapshotters, repositories);
}

TEST_CASE("an image is whole if everything of it is there, with every label") {
    const ResolvedImage image = image_of("reg.example/app:1", {"one", "two"});
    const PresentContent whole = whole_content(image, kSnapshotters);
    CHECK(has_everything(whole, image));

    const auto blob = [](PresentContent& present, const std::string& bytes) -> store::Labels& {
        return present.blobs.at({"k8s.io", oci::Digest::of(bytes)});
    };
    struct Row {
        const char* lacks;
        std::function<void(PresentContent&)> remove;
    };
    const std::vector<Row> rows{
        {"a layer",
         [](PresentContent& present) {
             present.blobs.erase({"k8s.io", oci::Digest::of("one")});
         }},
        {"the manifest",
         [&](PresentContent& present) {
             present.blobs.erase({"k8s.io", image.target.digest});
         }},
        {"the config",
         [&](PresentContent& present) {
             present.blobs.erase({"k8s.io", image.config.descriptor.digest});
         }},
        {"a lower snapshot",
         [](PresentContent& present) {
             present.snapshots.erase({"k8s.io", chain_of("one")});
         }},
        {"the reference to a layer",
         [&](PresentContent& present) {
             blob(present, image.manifest.bytes).erase("containerd.io/gc.ref.content.l.1");
         }},
        {"the reference to the snapshot",
         [&](PresentContent& present) {
             blob(present, image.config.bytes).erase("containerd.io/gc.ref.snapshot.overlayfs");
         }},
        {"a layer's diffID",
         [&](PresentContent& present) {
             blob(present, "two")[std::string(store::kUncompressedLabel)] = "sha256:other";
         }},
        {"a layer's source",
         [&](PresentContent& present) {
             blob(present, "two").erase("containerd.io/distribution.source.reg.example");
         }},
        {"the repository among a document's sources",
         [&](PresentContent& present) {
             blob(present, image.config.bytes)["containerd.io/distribution.source.reg.example"] =
                 "other";
         }},
    };
    for (const Row& row : rows) {
        CAPTURE(row.lacks);
        PresentContent present = whole;
        row.remove(present);
        CHECK_FALSE(has_everything(present, image));
    }
}

TEST_CASE("what another namespace has does not make an image whole") {
    const ResolvedImage elsewhere = image_of("reg.example/app:1", {"one"}, {"moby"});
    const PresentContent present = whole_content(elsewhere, kSnapshotters);
    CHECK_FALSE(has_everything(present, image_of("reg.example/app:1", {"one"})));
}

TEST_CASE("layers that are needed only for unpacking may be gone") {
    ResolvedImage image = image_of("reg.example/app:1", {"one", "two"});
    PresentContent present = whole_content(image, kSnapshotters);
    present.blobs.erase({"k8s.io", oci::Digest::of("one")});
    CHECK_FALSE(has_everything(present, image));
    image.request.keep_layers = false;
    CHECK(has_everything(present, image));
}

TEST_CASE("an image that is not unpacked needs no snapshots") {
    ResolvedImage image = image_of("reg.example/app:1", {"one"});
    image.request.unpack = false;
    image.chain_ids.clear();
    image.diff_ids.clear();
    const PresentContent present = whole_content(image, {});
    CHECK(present.snapshots.empty());
    CHECK(has_everything(present, image));
}

TEST_CASE("documents come after what they refer to") {
    const ResolvedImage image = image_of("reg.example/app:1", {"one"});
    const std::vector<LabelledDocument> documents = documents_of(image, "k8s.io", kSnapshotters);
    REQUIRE(documents.size() == 2);
    CHECK(documents[0].document == &image.config);
    CHECK(documents[0].labels ==
          store::Labels{{"containerd.io/gc.ref.snapshot.overlayfs", chain_of("one").str()}});
    CHECK(documents[1].document == &image.manifest);
    CHECK(
        documents[1].labels ==
        store::Labels{{"containerd.io/gc.ref.content.config", image.config.descriptor.digest.str()},
                      {"containerd.io/gc.ref.content.l.0", oci::Digest::of("one").str()}});
}

}  // namespace prebake::bake::image_content_test
