#include "agent/bake/restore_plan.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"
#include "agent/oci/platform.h"
#include "tests/unit/bake/test_image.h"

namespace prebake::bake::restore_plan_test {

using test::chain_of;
using test::image_of;

const std::string kName = "docker.io/library/a:1";

v1::Placement& add_placement(v1::BakedImage& image, const std::string& ns) {
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(ns);
    placement.add_names(kName);
    placement.set_unpacked(true);
    placement.set_layers_kept(true);
    return placement;
}

v1::BakedImage recorded(const std::vector<std::string>& namespaces) {
    v1::BakedImage image;
    image.set_name(kName);
    image.set_platform("linux/amd64");
    image.mutable_target()->set_digest(oci::Digest::of("target").str());
    for (const std::string& ns : namespaces) add_placement(image, ns);
    return image;
}

/// The parts of an image with the layers "one" and "two".
std::vector<RestorePart> parts(const v1::BakedImage& image) {
    return parts_of(image, image_of(kName, {"one", "two"}));
}

std::vector<oci::Digest> digests(const std::vector<std::string>& blobs) {
    std::vector<oci::Digest> all;
    for (const std::string& blob : blobs) all.push_back(oci::Digest::of(blob));
    return all;
}

TEST_CASE("each placement is a part with its own request") {
    v1::BakedImage image = recorded({"k8s.io", "moby"});
    image.mutable_placements(1)->set_unpacked(false);
    const std::vector<RestorePart> two = parts(image);
    REQUIRE(two.size() == 2);
    CHECK(two[0].image.request.namespaces == std::vector<std::string>{"k8s.io"});
    CHECK(two[0].image.chain_ids.size() == 2);
    CHECK(two[1].image.request.namespaces == std::vector<std::string>{"moby"});
    CHECK(two[1].image.chain_ids.empty());
    CHECK(two[1].image.diff_ids.empty());
}

TEST_CASE("which layers are lost, and whether the image can be used without them") {
    struct Row {
        const char* name;
        bool unpacked;
        bool layers_kept;
        std::vector<std::string> in_namespace;  ///< blobs
        std::vector<std::string> elsewhere;     ///< blobs of other namespaces
        std::vector<std::string> snapshots;     ///< by their layer
        std::vector<std::string> lost;
        bool is_usable;
    };
    const std::vector<Row> rows{
        {"all there", true, true, {"one", "two"}, {}, {"one", "two"}, {}, true},
        {"not unpacked yet", true, true, {"one", "two"}, {}, {}, {}, true},
        {"in another namespace", true, true, {"one"}, {"two"}, {}, {}, true},
        {"lost, but unpacked", true, true, {"one"}, {}, {"one", "two"}, {"two"}, true},
        {"lost, and not unpacked", true, true, {"one"}, {}, {"one"}, {"two"}, false},
        {"all lost", true, true, {}, {}, {}, {"one", "two"}, false},
        {"not kept, and unpacked", true, false, {}, {}, {"one", "two"}, {}, true},
        {"not kept, and unpacked in part", true, false, {}, {}, {"one"}, {"two"}, false},
        {"not to be unpacked", false, true, {"one"}, {"two"}, {}, {}, true},
        {"not to be unpacked, and lost", false, true, {"one"}, {}, {}, {"two"}, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        v1::BakedImage image = recorded({"k8s.io"});
        image.mutable_placements(0)->set_unpacked(row.unpacked);
        image.mutable_placements(0)->set_layers_kept(row.layers_kept);
        PresentContent present;
        for (const std::string& blob : row.in_namespace) {
            present.blobs[{"k8s.io", oci::Digest::of(blob)}];
        }
        for (const std::string& layer : row.snapshots) {
            present.snapshots.emplace("k8s.io", chain_of(layer));
        }
        const std::vector<oci::Digest> elsewhere = digests(row.elsewhere);
        RestorePart part = parts(image).front();
        find_lost_layers(part, present, [&](const oci::Digest& digest) {
            return std::find(elsewhere.begin(), elsewhere.end(), digest) != elsewhere.end();
        });
        CHECK(part.lost_layers == digests(row.lost));
        CHECK(part.is_usable == row.is_usable);
    }
}

TEST_CASE("what is restored, and which error is left") {
    const Error corrupt(Errc::corrupt, "corrupt");
    const Error conflict(Errc::conflict, "conflict");
    const Error gone(Errc::unavailable, "containerd is gone");
    const Error stopped(Errc::cancelled, "stop");
    struct Row {
        const char* name;
        std::vector<std::optional<Error>> results;  ///< one for each part
        std::size_t restored;                       ///< parts that were tried
        std::optional<Errc> code;
    };
    const std::vector<Row> rows{
        {"all of it", {{}, {}}, 2, {}},
        {"the second, though the first fails", {corrupt, {}}, 2, Errc::corrupt},
        {"the first, though the second fails", {{}, corrupt}, 2, Errc::corrupt},
        {"nothing: the first error counts", {conflict, corrupt}, 2, Errc::conflict},
        {"no more after containerd went away", {gone, {}}, 1, Errc::unavailable},
        {"containerd goes away after another error", {corrupt, gone}, 2, Errc::unavailable},
        {"no more after a stop request", {stopped, {}}, 1, Errc::cancelled},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const v1::BakedImage image = recorded({"k8s.io", "moby"});
        std::vector<RestorePart> two = parts(image);
        std::size_t restored = 0;
        std::optional<Errc> code;
        try {
            restore_parts(image, two, [&](const ResolvedImage& /*part*/) {
                const auto& result = row.results.at(restored++);
                if (result) throw Error(*result);
            });
        } catch (const Error& error) {
            code = error.code();
        }
        CHECK(restored == row.restored);
        CHECK(code == row.code);
    }
}

TEST_CASE("a part with lost layers") {
    const v1::BakedImage image = recorded({"k8s.io"});
    std::vector<RestorePart> one = parts(image);
    one.front().lost_layers = digests({"two"});
    std::vector<bool> keep_layers;
    const auto restore = [&](const ResolvedImage& part) {
        keep_layers.push_back(part.request.keep_layers);
    };
    SUBCASE("is restored without them, and they are reported") {
        CHECK_THROWS_WITH(
            restore_parts(image, one, restore),
            doctest::Contains((oci::Digest::of("two").str() + " of " + kName).c_str()));
        CHECK(keep_layers == std::vector<bool>{false});
    }
    SUBCASE("is not restored if it is of no use without them") {
        one.front().is_usable = false;
        CHECK_THROWS_WITH(restore_parts(image, one, restore), doctest::Contains("prebake bake"));
        CHECK(keep_layers.empty());
    }
}

}  // namespace prebake::bake::restore_plan_test
