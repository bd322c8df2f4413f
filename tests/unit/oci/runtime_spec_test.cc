#include "agent/oci/runtime_spec.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/base/error.h"

namespace prebake::oci {

namespace runtime_spec_test {

using Words = std::vector<std::string>;

TEST_CASE("the entrypoint stays, and a command replaces the image's") {
    const RunConfig both{.entrypoint = {"/init", "--"},
                         .command = {"serve"},
                         .environment = {},
                         .directory = {},
                         .user = {}};
    CHECK(program_of(both, {}) == Words{"/init", "--", "serve"});
    CHECK(program_of(both, {"sh", "-c", "x"}) == Words{"/init", "--", "sh", "-c", "x"});
    CHECK_THROWS_AS(program_of(RunConfig{}, {}), Error);
}

TEST_CASE("what an image says about running it is read") {
    const RunConfig config =
        parse_run_config(R"({"config":{"Entrypoint":["/e"],"Cmd":["c"],"Env":["A=1","B=\"x\""],)"
                         R"("WorkingDir":"/w","User":"u:g"}})");
    CHECK(config.entrypoint == Words{"/e"});
    CHECK(config.command == Words{"c"});
    CHECK(config.environment == Words{"A=1", "B=\"x\""});
    CHECK(config.directory == "/w");
    CHECK(config.user == "u:g");
    CHECK(parse_run_config("{}").command.empty());
}

TEST_CASE("a container has its own network unless the host's is asked for") {
    RunConfig config;
    config.environment = {"A=\n\"1\""};
    RuntimeOptions options{.program = {"/bin/a", "b c"},
                           .user = {.uid = 5, .gid = 6, .groups = {6, 7}},
                           .cgroup = "/prebake/x",
                           .files = {{.file = "/run/hosts", .place = "/etc/hosts"}}};
    for (const auto network : {ContainerNetwork::loopback, ContainerNetwork::host}) {
        options.network = network;
        const std::string spec = runtime_spec(config, options);
        CAPTURE(spec);
        const auto has = [&](const std::string& part) {
            return spec.find(part) != std::string::npos;
        };
        const std::string four =
            R"("namespaces":[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"})";
        const bool is_host = network == ContainerNetwork::host;
        CHECK(has(four + (is_host ? "]" : R"(,{"type":"network"}])")));
        CHECK(has(R"("args":["/bin/a","b c"],"env":["A=\n\"1\""],"cwd":"/")"));
        CHECK(has(R"("user":{"uid":5,"gid":6,"additionalGids":[6,7]})"));
        CHECK(has(R"("capabilities":{"bounding":["CAP_AUDIT_WRITE",)"));
        CHECK(has(R"("cgroupsPath":"/prebake/x")"));
        CHECK(has(R"("resources":{"devices":[{"allow":false,"access":"rwm"}]})"));
        CHECK(has(R"("mounts":[{"destination":"/proc","type":"proc","source":"proc",)"));
        CHECK(has(R"({"destination":"/etc/hosts","type":"bind","source":"/run/hosts",)"
                  R"("options":["rbind","rprivate","ro"]}])"));
    }
}

}  // namespace runtime_spec_test

}  // namespace prebake::oci
