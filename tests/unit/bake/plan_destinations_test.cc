#include "agent/bake/plan_destinations.h"

#include <doctest/doctest.h>

namespace prebake::bake::plan_destinations_test {

ImageRequest wanted(std::vector<std::string> namespaces) {
    return {.reference = oci::Reference::parse("nginx:1"),
            .platform = {},
            .namespaces = std::move(namespaces),
            .aliases = {},
            .origin = "test"};
}

Survey survey_of(std::optional<docker::EngineInfo> docker) {
    return {.plan = {},
            .present = {},
            .storage = store::Storage({}),
            .snapshotters = {{"k8s.io", "overlayfs"}, {"moby", "native"}},
            .free_space = {},
            .containerd_version = {},
            .docker = std::move(docker),
            .free_engine_bytes = {},
            .rate_limits = {}};
}

docker::EngineInfo engine(const std::string& driver, bool uses_containerd) {
    docker::EngineInfo info;
    info.version = "28.5.2";
    info.driver = driver;
    info.uses_containerd_store = uses_containerd;
    return info;
}

TEST_CASE("every destination has its driver and its reason") {
    const auto found =
        destinations_of(wanted({"k8s.io", "moby"}), survey_of(engine("native", true)));
    REQUIRE(found.size() == 2);
    CHECK_FALSE(found[0].is_docker);
    CHECK(found[0].driver == "overlayfs");
    CHECK(found[1].is_docker);
    CHECK(found[1].driver == "native");
    CHECK(found[1].reason == "dockerd 28.5.2 keeps its images in containerd");
    CHECK(short_form(found) == "k8s.io, docker (native)");
}

TEST_CASE("a graph driver is a destination of its own") {
    ImageRequest request = wanted({});
    request.in_graph_driver = true;
    const auto found = destinations_of(request, survey_of(engine("overlay2", false)));
    REQUIRE(found.size() == 1);
    CHECK(found[0].ns == "moby");
    CHECK(found[0].driver == "overlay2");
    CHECK(found[0].reason == "dockerd 28.5.2 keeps its images in its graph driver");
}

TEST_CASE("moby without dockerd is a namespace as others") {
    ImageRequest request = wanted({"moby"});
    request.runtime = Runtime::containerd;
    const auto found = destinations_of(request, survey_of(std::nullopt));
    REQUIRE(found.size() == 1);
    CHECK_FALSE(found[0].is_docker);
    CHECK(found[0].reason.find("dockerd is not asked") != std::string::npos);
    CHECK(short_form(found) == "moby");
}

TEST_CASE("what is not unpacked has no driver") {
    ImageRequest request = wanted({"k8s.io"});
    request.unpack = false;
    CHECK(destinations_of(request, survey_of(std::nullopt))[0].driver.empty());
}

}  // namespace prebake::bake::plan_destinations_test
