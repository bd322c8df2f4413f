#include "agent/kubelet/ecs_images.h"

#include <doctest/doctest.h>

namespace prebake::kubelet::ecs_images_test {
namespace {

using Texts = std::vector<std::string>;

std::string digest_of(char c) {
    return "sha256:" + std::string(64, c);
}

v1::BakedImage& bake(v1::BakeRecord& record, const std::string& name, const Texts& names = {},
                     const char* ns = "moby") {
    v1::BakedImage& image = *record.add_images();
    image.set_name(name);
    image.mutable_target()->set_digest(digest_of('a'));
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(ns);
    for (const std::string& more : names) placement.add_names(more);
    return image;
}

TEST_CASE("the spellings of an image") {
    const std::string digest = "@" + digest_of('a');
    const std::string other = "@" + digest_of('b');
    struct Row {
        const char* name;
        std::string baked;
        Texts listed;
        Texts by_tag;
        Texts by_digest;
    };
    for (const Row& row : {Row{"an official image of Docker Hub",
                               "docker.io/library/nginx:1.27",
                               {"nginx:1.27"},
                               {"nginx:1.27", "docker.io/library/nginx:1.27", "library/nginx:1.27",
                                "docker.io/nginx:1.27"},
                               {"nginx:1.27" + digest, "docker.io/library/nginx:1.27" + digest,
                                "library/nginx:1.27" + digest, "docker.io/nginx:1.27" + digest,
                                "nginx" + digest, "docker.io/library/nginx" + digest,
                                "library/nginx" + digest, "docker.io/nginx" + digest}},
                           Row{"an image of an organization",
                               "docker.io/org/app:1",
                               {"org/app:1"},
                               {"org/app:1", "docker.io/org/app:1"},
                               {"org/app:1" + digest, "docker.io/org/app:1" + digest,
                                "org/app" + digest, "docker.io/org/app" + digest}},
                           Row{"Docker shortens library/ only in front of one name",
                               "docker.io/library/a/b:1",
                               {"library/a/b:1"},
                               {"library/a/b:1", "docker.io/library/a/b:1"},
                               {"library/a/b:1" + digest, "docker.io/library/a/b:1" + digest,
                                "library/a/b" + digest, "docker.io/library/a/b" + digest}},
                           Row{"another registry, with a port",
                               "localhost:5000/app:1",
                               {"localhost:5000/app:1"},
                               {"localhost:5000/app:1"},
                               {"localhost:5000/app:1" + digest, "localhost:5000/app" + digest}},
                           Row{"latest may be left out",
                               "quay.io/org/app:latest",
                               {"quay.io/org/app:latest"},
                               {"quay.io/org/app:latest", "quay.io/org/app"},
                               {"quay.io/org/app:latest" + digest, "quay.io/org/app" + digest}},
                           Row{"only a digest: Docker lists no name",
                               "quay.io/org/app" + other,
                               {},
                               {},
                               {"quay.io/org/app" + other}},
                           Row{"tag and digest",
                               "quay.io/org/app:1" + other,
                               {"quay.io/org/app:1"},
                               {"quay.io/org/app:1"},
                               {"quay.io/org/app:1" + other, "quay.io/org/app" + other}}}) {
        CAPTURE(row.name);
        v1::BakeRecord record;
        bake(record, row.baked);
        const auto images = ecs_images(record);
        REQUIRE(images.size() == 1);
        CHECK(images[0].name == row.baked);
        CHECK(images[0].listed == row.listed);
        CHECK(images[0].by_tag == row.by_tag);
        CHECK(images[0].by_digest == row.by_digest);
    }
}

TEST_CASE("the names of Docker's placement count, each once, those that Docker lists first") {
    v1::BakeRecord record;
    const std::string name = "docker.io/library/nginx:1.27";
    bake(record, name, {name, "mirror.example/nginx:1.27", digest_of('c'), "no reference!"});
    const auto images = ecs_images(record);
    REQUIRE(images.size() == 1);
    CHECK(images[0].listed == Texts{"nginx:1.27", "mirror.example/nginx:1.27"});
    REQUIRE(images[0].by_tag.size() == 5);
    CHECK(images[0].by_tag[0] == "nginx:1.27");
    CHECK(images[0].by_tag[1] == "mirror.example/nginx:1.27");
}

TEST_CASE("only images for containers in Docker's store count") {
    v1::BakeRecord record;
    bake(record, "docker.io/library/pod:1", {}, "k8s.io");
    bake(record, "docker.io/library/chart:1").set_kind(v1::BakedImage::ARTIFACT);
    v1::BakedImage& both = bake(record, "docker.io/library/both:1", {}, "k8s.io");
    v1::Placement& placement = *both.add_placements();
    placement.set_namespace_("moby");
    placement.set_graph_driver("overlay2");
    const auto images = ecs_images(record);
    REQUIRE(images.size() == 1);
    CHECK(images[0].name == "docker.io/library/both:1");
    CHECK(ecs_images({}).empty());
}

}  // namespace
}  // namespace prebake::kubelet::ecs_images_test
