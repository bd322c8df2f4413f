#include "agent/oci/image.h"

#include <doctest/doctest.h>

#include <map>

#include "tests/unit/base/thrown.h"

namespace prebake::oci::image_test {

using tests::contains;
using tests::thrown_by;

const std::string kManifestType = "application/vnd.oci.image.manifest.v1+json";
const std::string kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
const std::string kIndexType = "application/vnd.oci.image.index.v1+json";
const std::string kConfigType = "application/vnd.oci.image.config.v1+json";
const std::string kLayerType = "application/vnd.oci.image.layer.v1.tar+gzip";
const std::string kDiffId = Digest::of("diff").str();

/// Documents by digest.
class Documents final : public DocumentSource {
  public:
    Descriptor add(const std::string& media_type, const std::string& bytes) {
        const Digest digest = Digest::of(bytes);
        documents[digest] = bytes;
        return {.media_type = media_type,
                .digest = digest,
                .size = bytes.size(),
                .annotations = {},
                .platform = {}};
    }

    Document manifest(const Descriptor& descriptor) override { return get(descriptor); }
    Document config(const Descriptor& descriptor) override { return get(descriptor); }

    std::map<Digest, std::string> documents;
    std::size_t asked = 0;

  private:
    Document get(const Descriptor& descriptor) {
        ++asked;
        const auto found = documents.find(descriptor.digest);
        if (found == documents.end()) throw Error(Errc::not_found, "no such document");
        return {.descriptor = descriptor, .bytes = found->second};
    }
};

std::string json_of(const Descriptor& descriptor, const std::string& more = "") {
    return R"({"mediaType":")" + descriptor.media_type + R"(","digest":")" +
           descriptor.digest.str() + R"(","size":)" + std::to_string(descriptor.size) + more + "}";
}

/// A manifest with one layer, and a config with these members besides rootfs.
Descriptor add_image(Documents& documents, const std::string& config,
                     const std::string& config_type = kConfigType) {
    const std::string rootfs = R"("rootfs":{"type":"layers","diff_ids":[")" + kDiffId + R"("]})";
    const Descriptor described =
        documents.add(config_type, "{" + config + (config.empty() ? "" : ",") + rootfs + "}");
    const Descriptor layer{.media_type = kLayerType,
                           .digest = Digest::of("layer"),
                           .size = 5,
                           .annotations = {},
                           .platform = {}};
    return documents.add(kManifestType, R"({"config":)" + json_of(described) + R"(,"layers":[)" +
                                            json_of(layer) + "]}");
}

Descriptor add_index(Documents& documents, const std::vector<std::string>& children) {
    std::string list;
    for (const std::string& child : children) list += (list.empty() ? "" : ",") + child;
    return documents.add(kIndexType, R"({"manifests":[)" + list + "]}");
}

const std::string kAmd64 = R"("architecture":"amd64","os":"linux")";
const std::string kArm64 = R"("architecture":"arm64","os":"linux")";

Image resolve(Documents& documents, const Descriptor& target,
              const std::string& platform = "linux/amd64") {
    return resolve_image(target, Platform::parse(platform), ImageUse::unpack, documents);
}

TEST_CASE("a config without an architecture is taken as it is, one for another is not") {
    struct Row {
        const char* config;
        bool is_taken;
    };
    for (const Row& row : std::vector<Row>{{R"("architecture":"amd64","os":"linux")", true},
                                           {R"("architecture":"","os":"linux")", true},
                                           {R"("os":"linux")", true},
                                           {R"("architecture":"amd64")", true},
                                           {R"("architecture":"i386")", true},
                                           {"", true},
                                           {R"("architecture":"arm64")", false},
                                           {R"("architecture":"amd64","variant":"v3")", false},
                                           {R"("os":"windows")", false}}) {
        CAPTURE(row.config);
        Documents documents;
        const Descriptor target = add_image(documents, row.config);
        if (row.is_taken) {
            const Image image = resolve(documents, target);
            CHECK(image.target == target);
            CHECK(image.chain_ids == std::vector<Digest>{Digest::parse(kDiffId)});
        } else {
            const Error error = thrown_by([&] { resolve(documents, target); });
            CHECK(error.code() == Errc::unsupported);
            CHECK(contains(error.message(), "not for linux/amd64"));
        }
    }
}

TEST_CASE("the config of each child decides where the index has no platforms") {
    Documents documents;
    const Descriptor amd64 = add_image(documents, kAmd64);
    const Descriptor arm64 = add_image(documents, kArm64);
    const Descriptor unknown = add_image(documents, R"("os":"linux")");
    const Descriptor artifact = add_image(documents, kAmd64, "application/vnd.example");
    const Descriptor nested = add_index(documents, {json_of(unknown), json_of(amd64)});
    const std::string declared = R"(,"platform":{"os":"linux","architecture":"amd64"})";
    struct Row {
        const char* name;
        std::vector<Descriptor> children;
        std::optional<Descriptor> selected;
    };
    for (const Row& row : std::vector<Row>{{"first", {amd64, arm64}, amd64},
                                           {"second", {arm64, amd64}, amd64},
                                           {"no architecture", {unknown, amd64}, amd64},
                                           {"artifact", {artifact, amd64}, amd64},
                                           {"in an index", {arm64, nested}, amd64},
                                           {"none", {arm64, unknown}, std::nullopt},
                                           {"empty", {}, std::nullopt}}) {
        CAPTURE(row.name);
        std::vector<std::string> children;
        for (const Descriptor& child : row.children) children.push_back(json_of(child));
        const Descriptor target = add_index(documents, children);
        if (row.selected) {
            const Image image = resolve(documents, target);
            CHECK(image.manifest.descriptor.digest == row.selected->digest);
            CHECK(image.target == target);
        } else {
            const Error error = thrown_by([&] { resolve(documents, target); });
            CHECK(error.code() == Errc::unsupported);
            CHECK(contains(error.message(), "does not exist for linux/amd64"));
        }
    }
    // The word of the index counts, and comes first.
    const Descriptor index = add_index(documents, {json_of(amd64), json_of(arm64, declared)});
    CHECK(resolve(documents, index).manifest.descriptor.digest == arm64.digest);
    const Descriptor others = add_index(
        documents,
        {json_of(amd64, R"(,"platform":{"os":"linux","architecture":"s390x"})"), json_of(arm64)});
    CHECK(contains(thrown_by([&] { resolve(documents, others); }).message(),
                   "offers linux/s390x, linux/arm64"));
}

TEST_CASE("children of other platforms may be missing where they were not stored") {
    Documents documents;
    const Descriptor arm64 = add_image(documents, kArm64);
    const Descriptor amd64 = add_image(documents, kAmd64);
    const Descriptor target = add_index(documents, {json_of(arm64), json_of(amd64)});
    documents.documents.erase(arm64.digest);
    CHECK(resolve(documents, target).manifest.descriptor.digest == amd64.digest);
    documents.documents.erase(amd64.digest);
    CHECK(thrown_by([&] { resolve(documents, target); }).code() == Errc::not_found);
}

TEST_CASE("not every child of a long index is asked") {
    Documents documents;
    const Descriptor arm64 = add_image(documents, kArm64);
    const Descriptor target = add_index(documents, std::vector<std::string>(1000, json_of(arm64)));
    CHECK(thrown_by([&] { resolve(documents, target); }).code() == Errc::unsupported);
    CHECK(documents.asked < 50);
}

TEST_CASE("Docker's and OCI's types of one kind stand for each other") {
    Documents documents;
    const Descriptor amd64 =
        add_image(documents, kAmd64, "application/vnd.docker.container.image.v1+json");
    Descriptor as_docker = amd64;
    as_docker.media_type = kDockerManifest;
    Descriptor index = add_index(
        documents, {json_of(as_docker, R"(,"platform":{"os":"linux","architecture":"amd64"})")});
    index.media_type = "application/vnd.docker.distribution.manifest.list.v2+json";
    const Image image = resolve(documents, index);
    CHECK(image.target.media_type == index.media_type);
    CHECK(image.manifest.descriptor.media_type == kDockerManifest);
}

TEST_CASE("an image without layers needs no rootfs; layers need their diffIDs") {
    Documents documents;
    const Descriptor config = documents.add(kConfigType, "{" + kAmd64 + "}");
    const Descriptor empty = documents.add(kManifestType, R"({"config":)" + json_of(config) + "}");
    CHECK(resolve(documents, empty).chain_ids.empty());
    const Descriptor with_layer =
        documents.add(kManifestType, R"({"config":)" + json_of(config) + R"(,"layers":[)" +
                                         json_of(config) + "]}");
    CHECK(thrown_by([&] { resolve(documents, with_layer); }).code() == Errc::unsupported);
}

TEST_CASE("an artifact need not be an image") {
    const auto as_artifact = [](Documents& documents, const Descriptor& target) {
        return resolve_image(target, Platform::parse("linux/amd64"), ImageUse::artifact, documents);
    };
    const std::string chart = "application/vnd.cncf.helm.config.v1+json";
    Documents documents;
    const Descriptor manifest = add_image(documents, "", chart);
    SUBCASE("its config is stored as it is") {
        const Image artifact = as_artifact(documents, manifest);
        CHECK(artifact.config.descriptor.media_type == chart);
        CHECK(artifact.contents.layers.size() == 1);
        CHECK(artifact.diff_ids.empty());
        CHECK(contains(thrown_by([&] { resolve(documents, manifest); }).next_step(),
                       "kind = \"artifact\""));
    }
    SUBCASE("of an index without platforms, the first child") {
        const Descriptor index = add_index(documents, {json_of(manifest)});
        CHECK(as_artifact(documents, index).manifest.descriptor.digest == manifest.digest);
        CHECK(thrown_by([&] { resolve(documents, index); }).code() == Errc::unsupported);
    }
    SUBCASE("the platform of an image's config does not matter") {
        const Descriptor image = add_image(documents, kArm64);
        CHECK(as_artifact(documents, image).target == image);
        CHECK(thrown_by([&] { resolve(documents, image); }).code() == Errc::unsupported);
    }
    SUBCASE("an index with platforms is chosen from") {
        const Descriptor other = add_image(documents, kArm64, chart);
        const Descriptor index = add_index(
            documents, {json_of(other, R"(,"platform":{"architecture":"arm64","os":"linux"})"),
                        json_of(manifest, R"(,"platform":{"architecture":"amd64","os":"linux"})")});
        CHECK(as_artifact(documents, index).manifest.descriptor.digest == manifest.digest);
    }
}

}  // namespace prebake::oci::image_test
