#include "agent/store/placements.h"

#include <doctest/doctest.h>

namespace prebake::store {
namespace {

TEST_CASE("a record is divided by where its images are") {
    v1::BakeRecord record;
    record.set_prebake_version("1");
    v1::BakedImage& both = *record.add_images();
    both.set_name("both");
    both.add_placements()->set_namespace_("k8s.io");
    both.add_placements()->set_namespace_("moby");
    both.mutable_placements(1)->set_graph_driver("overlay2");
    v1::BakedImage& pods = *record.add_images();
    pods.set_name("pods");
    pods.add_placements()->set_namespace_("k8s.io");

    const v1::BakeRecord containerd = only_in_containerd(record);
    CHECK(containerd.prebake_version() == "1");
    REQUIRE(containerd.images_size() == 2);
    REQUIRE(containerd.images(0).placements_size() == 1);
    CHECK(containerd.images(0).placements(0).namespace_() == "k8s.io");

    const v1::BakeRecord engine = only_in_engine(record);
    REQUIRE(engine.images_size() == 1);
    CHECK(engine.images(0).name() == "both");
    REQUIRE(engine.images(0).placements_size() == 1);
    CHECK(engine.images(0).placements(0).graph_driver() == "overlay2");

    record.mutable_images(1)->mutable_placements(0)->set_namespace_("moby");
    const v1::BakeRecord docker = only_for_docker(record);
    CHECK(docker.prebake_version() == "1");
    REQUIRE(docker.images_size() == 2);
    CHECK(docker.images(0).placements_size() == 1);
    CHECK(docker.images(0).placements(0).graph_driver() == "overlay2");
}

}  // namespace
}  // namespace prebake::store
