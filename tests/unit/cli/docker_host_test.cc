#include "agent/cli/docker_host.h"

#include <doctest/doctest.h>

namespace prebake::cli {
namespace {

docker::EngineInfo engine(bool uses_containerd) {
    docker::EngineInfo info;
    info.uses_containerd_store = uses_containerd;
    info.data_root = "/var/lib/docker";
    return info;
}

TEST_CASE("a dockerd as packages configure it has no traps") {
    CHECK(traps_of(engine(true), {}, {}).empty());
    CHECK(traps_of(engine(false), {}, {}).empty());
    CHECK(traps_of(engine(true), {.migrates = true}, {}).empty());
}

TEST_CASE("a bake names what keeps a node from finding the images") {
    docker::EngineInfo mapped = engine(false);
    mapped.has_user_namespaces = true;
    struct Case {
        std::vector<std::string> traps;
        const char* words;
    };
    const Case cases[] = {
        {traps_of(engine(false), {.migrates = true}, {}), "digests change"},
        {traps_of(mapped, {}, {}), "the same mapping"},
        {traps_of(engine(true), {}, {"/var/lib/docker/overlay2"}),
         "/var/lib/docker/overlay2 is not empty"},
    };
    for (const Case& test : cases) {
        CAPTURE(test.words);
        REQUIRE(test.traps.size() == 1);
        CHECK(test.traps[0].find(test.words) != std::string::npos);
    }
}

}  // namespace
}  // namespace prebake::cli
