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
        "Job=412\nId=kubelet.service\nActiveState=inactive\nConditionResult=yes\n\n"
        "Id=prebaked.service\nActiveState=active\n\n"
        "Job=0\nId=looping.service\nActiveState=activating\n\n"
        "Id=refused.socket\nActiveState=inactive\nResult=success\nConditionResult=yes\n\n"
        "Id=dependency.service\nType=notify\nActiveState=inactive\nResult=success\n"
        "ConditionResult=yes\n\n"
        "Id=done.service\nType=oneshot\nActiveState=inactive\nResult=success\n\n"
        "Id=elsewhere.service\nActiveState=inactive\nConditionResult=no\n\n"
        "Id=broken.service\nActiveState=failed\n");
    CHECK(units == std::map<std::string, Started>{{"kubelet.service", Started::not_yet},
                                                  {"prebaked.service", Started::yes},
                                                  {"looping.service", Started::yes},
                                                  {"refused.socket", Started::no},
                                                  {"dependency.service", Started::no},
                                                  {"done.service", Started::yes},
                                                  {"elsewhere.service", Started::yes},
                                                  {"broken.service", Started::no}});
    CHECK(started_units("").empty());
}

TEST_CASE("a socket starts before the service that would take its port") {
    CHECK(in_start_order(
              {"prebaked.socket", "docker.socket", "prebaked.service", "kubelet.service"}) ==
          Units{"docker.socket", "prebaked.socket", "kubelet.service", "prebaked.service"});
}

}  // namespace
}  // namespace prebake::cli
