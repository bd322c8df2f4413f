#include "agent/store/record.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::store {
namespace {

v1::BakedImage image(const std::string& name, const std::string& manifest,
                     const std::vector<std::string>& namespaces) {
    v1::BakedImage baked;
    baked.set_name(name);
    baked.set_platform("linux/amd64");
    baked.mutable_manifest()->set_digest(manifest);
    for (const std::string& ns : namespaces) baked.add_placements()->set_namespace_(ns);
    return baked;
}

TEST_CASE("a record comes back as it was written") {
    const TemporaryDirectory directory;
    v1::BakeRecord record;
    merge_image(record, image("a:1", "sha256:1", {"k8s.io"}));
    write_record(directory.path(), record);
    const v1::BakeRecord read = read_record(directory.path());
    CHECK(read.schema() == "prebake.v1.BakeRecord");
    REQUIRE(read.images_size() == 1);
    CHECK(read.images(0).name() == "a:1");
}

TEST_CASE("no record is not an empty one, unless asked for") {
    const TemporaryDirectory directory;
    CHECK_THROWS_AS(read_record(directory.path()), Error);
    CHECK(read_record_or_empty(directory.path()).images_size() == 0);
    std::string notice;
    CHECK(take_record(directory.path(), notice).images_size() == 0);
    CHECK(notice.empty());
}

TEST_CASE("what is no record is refused, and set aside by a bake") {
    for (const std::string text : {"", "{", "[]", "{\"schema\": \"prebake.v1.Plan\"}",
                                   "{\"images\": 3}", "{\"schema\": \"prebake.v2.BakeRecord\"}"}) {
        CAPTURE(text);
        const TemporaryDirectory directory;
        const std::filesystem::path path = record_path(directory.path());
        const bool is_newer = text.find(".v2.") != std::string::npos;
        std::ofstream(path) << text;
        try {
            read_record(directory.path());
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(error.code() == (is_newer ? Errc::unsupported : Errc::corrupt));
            CHECK(error.message().find("bake.json") != std::string::npos);
        }
        std::string notice;
        CHECK(take_record(directory.path(), notice).images_size() == 0);
        const std::string aside = path.string() + (is_newer ? ".newer" : ".corrupt");
        CHECK(notice.find(is_newer ? "bake.json.newer" : "bake.json.corrupt") != std::string::npos);
        CHECK_FALSE(std::filesystem::exists(path));
        CHECK(read_file(aside, 100) == text);
    }
}

TEST_CASE("merging") {
    v1::BakeRecord record;
    merge_image(record, image("a:1", "sha256:1", {"k8s.io"}));
    merge_image(record, image("b:1", "sha256:2", {"k8s.io"}));
    SUBCASE("the same image in another namespace is added to") {
        merge_image(record, image("a:1", "sha256:1", {"moby"}));
        REQUIRE(record.images_size() == 2);
        CHECK(record.images(0).placements_size() == 2);
    }
    SUBCASE("what was there before in the same namespace still is") {
        v1::BakedImage kept = image("a:1", "sha256:1", {"k8s.io"});
        v1::Placement& placement = *kept.mutable_placements(0);
        placement.add_names("alias:1");
        placement.set_unpacked(true);
        placement.set_layers_kept(true);
        placement.set_snapshotter("overlayfs");
        kept.set_chain_id("sha256:7");
        merge_image(record, kept);
        merge_image(record, image("a:1", "sha256:1", {"k8s.io"}));
        const v1::Placement& merged = record.images(0).placements(0);
        CHECK(merged.names_size() == 1);
        CHECK(merged.unpacked());
        CHECK(merged.layers_kept());
        CHECK(merged.snapshotter() == "overlayfs");
        CHECK(record.images(0).chain_id() == "sha256:7");
    }
    SUBCASE("any entry, not only the first") {
        for (int i = 2; i < 40; ++i) {
            merge_image(record, image("x:" + std::to_string(i), "sha256:2", {"k8s.io"}));
        }
        merge_image(record, image("x:30", "sha256:3", {"k8s.io"}));
        CHECK(record.images_size() == 40);
        CHECK(find_image(record, "x:30", "linux/amd64")->manifest().digest() == "sha256:3");
    }
    SUBCASE("a moved tag replaces what was recorded") {
        merge_image(record, image("a:1", "sha256:9", {"moby"}));
        REQUIRE(record.images_size() == 2);
        CHECK(record.images(0).placements_size() == 1);
        CHECK(record.images(0).manifest().digest() == "sha256:9");
    }
    SUBCASE("signatures of the same target stay, those of another index do not") {
        const auto signed_by = [](const std::string& key, const std::string& target) {
            v1::BakedImage signed_image = image("a:1", "sha256:1", {"k8s.io"});
            signed_image.mutable_target()->set_digest(target);
            if (!key.empty()) signed_image.add_signatures()->set_key(key);
            return signed_image;
        };
        merge_image(record, signed_by("k1", "sha256:5"));
        CHECK(record.images(0).signatures_size() == 1);
        merge_image(record, signed_by("", "sha256:5"));
        CHECK(record.images(0).signatures_size() == 1);
        merge_image(record, signed_by("k1", "sha256:5"));
        CHECK(record.images(0).signatures_size() == 1);
        merge_image(record, signed_by("k2", "sha256:5"));
        REQUIRE(record.images(0).signatures_size() == 2);
        CHECK(record.images(0).signatures(0).key() == "k2");
        merge_image(record, signed_by("", "sha256:6"));
        CHECK(record.images(0).signatures_size() == 0);
    }
    SUBCASE("another platform is another image") {
        v1::BakedImage arm = image("a:1", "sha256:3", {"k8s.io"});
        arm.set_platform("linux/arm64");
        merge_image(record, arm);
        CHECK(record.images_size() == 3);
    }
}

}  // namespace
}  // namespace prebake::store
