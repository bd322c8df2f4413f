#include "agent/bake/recorded_image.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"
#include "agent/store/names.h"

namespace prebake::bake {
namespace {

const oci::Digest kTarget = oci::Digest::parse("sha256:" + std::string(64, 'a'));
const oci::Digest kConfig = oci::Digest::parse("sha256:" + std::string(64, 'c'));

v1::BakedImage recorded(const std::string& name, const std::string& ns,
                        const std::vector<std::string>& names) {
    v1::BakedImage image;
    image.set_name(name);
    image.set_platform("linux/amd64");
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(ns);
    for (const std::string& each : names) placement.add_names(each);
    return image;
}

TEST_CASE("the request of a recorded image leads to the recorded names") {
    const std::string at = "@" + kTarget.str();
    struct Row {
        const char* name;
        std::string image;
        std::string ns;
        std::vector<std::string> names;
    };
    const std::vector<Row> rows{
        {"CRI, by tag",
         "example.org/a:1",
         "k8s.io",
         {kConfig.str(), "example.org/a" + at, "example.org/a:1"}},
        {"CRI, by digest", "example.org/a" + at, "k8s.io", {kConfig.str(), "example.org/a" + at}},
        {"CRI, with another tag of the repository",
         "example.org/a:1",
         "k8s.io",
         {kConfig.str(), "example.org/a" + at, "example.org/a:1", "example.org/a:2"}},
        {"CRI, with an alias elsewhere",
         "example.org/a:1",
         "k8s.io",
         {kConfig.str(), "example.org/a" + at, "example.org/a:1", "example.org/b" + at,
          "example.org/b:1"}},
        {"CRI, with an alias by digest",
         "example.org/a:1",
         "k8s.io",
         {kConfig.str(), "example.org/a" + at, "example.org/a:1", "example.org/b" + at}},
        {"elsewhere, by tag", "example.org/a:1", "moby", {"example.org/a:1"}},
        {"elsewhere, by digest", "example.org/a" + at, "moby", {"example.org/a" + at}},
        {"elsewhere, with an alias",
         "example.org/a:1",
         "moby",
         {"example.org/a:1", "localhost:5000/b:2"}},
        {"Docker Hub",
         "docker.io/library/nginx:1",
         "moby",
         {"docker.io/library/nginx:1", "docker.io/library/web:2"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const v1::BakedImage image = recorded(row.image, row.ns, row.names);
        const ImageRequest request = request_of(image, image.placements(0));
        CHECK(request.namespaces == std::vector<std::string>{row.ns});
        CHECK(name_of(request) == row.image);
        CHECK(store::names_in(row.ns, request.references(), kTarget, kConfig) == row.names);
    }
}

TEST_CASE("the request of a recorded image keeps what its placement says") {
    v1::BakedImage image = recorded("example.org/a:1", "k8s.io", {"example.org/a:1"});
    for (const bool value : {false, true}) {
        v1::Placement& placement = *image.mutable_placements(0);
        placement.set_pinned(value);
        placement.set_unpacked(!value);
        placement.set_layers_kept(value);
        const ImageRequest request = request_of(image, placement);
        CHECK(request.pin == value);
        CHECK(request.unpack == !value);
        CHECK(request.keep_layers == value);
        CHECK(request.platform->str() == "linux/amd64");
    }
}

TEST_CASE("a record whose names are none") {
    const v1::BakedImage image = recorded("example.org/a:1", "k8s.io", {"example.org/A b"});
    CHECK_THROWS_AS(request_of(image, image.placements(0)), Error);
}

}  // namespace
}  // namespace prebake::bake
