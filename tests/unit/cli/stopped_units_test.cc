#include "agent/cli/stopped_units.h"

#include <doctest/doctest.h>

#include "tests/unit/temporary_directory.h"

namespace prebake::cli {
namespace {

using Units = std::vector<std::string>;

TEST_CASE("units that a seal stopped are remembered in their order, each once") {
    const TemporaryDirectory directory;
    const std::filesystem::path file = directory / "stopped-units";
    CHECK(remembered_units(file).empty());
    remember_stopped(file, {});
    CHECK_FALSE(std::filesystem::exists(file));
    remember_stopped(file, {"prebaked.service", "kubelet.service"});
    // Armed again, or sealed after it was armed: what is stopped already must not be forgotten.
    remember_stopped(file, {"kubelet.service", "docker.socket"});
    CHECK(remembered_units(file) == Units{"prebaked.service", "kubelet.service", "docker.socket"});
}

TEST_CASE("which units have started, and which wait") {
    const auto units = started_units(
        "Job=412\nId=kubelet.service\nActiveState=inactive\n\n"
        "Id=prebaked.service\nActiveState=active\n\n"
        "Job=0\nId=looping.service\nActiveState=activating\n\n"
        "Id=broken.service\nActiveState=failed\n");
    CHECK(units == std::map<std::string, Started>{{"kubelet.service", Started::not_yet},
                                                  {"prebaked.service", Started::yes},
                                                  {"looping.service", Started::yes},
                                                  {"broken.service", Started::no}});
    CHECK(started_units("").empty());
}

}  // namespace
}  // namespace prebake::cli
