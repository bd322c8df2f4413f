#include "agent/store/sandbox.h"

#include <doctest/doctest.h>

namespace prebake::store {
namespace {

TEST_CASE("the sandbox image has the name by which containerd knows it") {
    CHECK(sandbox_name("", "").empty());
    CHECK(sandbox_name("pause:3.9", "registry.k8s.io/pause:3.6") == "docker.io/library/pause:3.9");
    CHECK(sandbox_name("", "registry.k8s.io/pause") == "registry.k8s.io/pause:latest");
    const std::string digest = "sha256:" + std::string(64, 'a');
    CHECK(sandbox_name("reg.example/pause:3.9@" + digest, "") == "reg.example/pause@" + digest);
    CHECK_MESSAGE(sandbox_name("Not A Name", "") == "Not A Name", "CRI's own words");
}

}  // namespace
}  // namespace prebake::store
