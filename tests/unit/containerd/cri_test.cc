#include "agent/containerd/cri.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::containerd::cri_test {

using grpc::Status;
using grpc::StatusCode;
using tests::thrown_by;

TEST_CASE("the snapshotter and the sandbox image in CRI's configuration") {
    struct Row {
        const char* name;
        const char* configuration;
        const char* snapshotter;
        const char* sandbox_image;
    };
    for (const Row& row : {
             Row{"for all runtimes",
                 R"({"containerd":{"snapshotter":"overlayfs"},"sandboxImage":"pause:3"})",
                 "overlayfs", "pause:3"},
             Row{"of the default runtime",
                 R"({"containerd":{"snapshotter":"overlayfs","defaultRuntimeName":"runc",
                    "runtimes":{"runc":{"snapshotter":"native"},"kata":{"snapshotter":"zfs"}}}})",
                 "native", ""},
             Row{"not of another runtime",
                 R"({"containerd":{"snapshotter":"overlayfs","defaultRuntimeName":"runc",
                    "runtimes":{"runc":{"snapshotter":""},"kata":{"snapshotter":"zfs"}}}})",
                 "overlayfs", ""},
             Row{"other types", R"({"containerd":7,"sandboxImage":["pause"]})", "", ""},
             Row{"an array", "[]", "", ""},
             Row{"not JSON", "{", "", ""},
             Row{"nothing", "", "", ""},
         }) {
        CAPTURE(row.name);
        CHECK(snapshotter_in(row.configuration) == row.snapshotter);
        CHECK(sandbox_image_in(row.configuration) == row.sandbox_image);
    }
}

TEST_CASE("why containerd serves no CRI is in the list of its plugins") {
    const auto plugin = [](const char* type, const char* id, const char* error = "") {
        return Plugin{
            .type = type, .id = id, .capabilities = {}, .exports = {}, .init_error = error};
    };
    const Plugin other = plugin("io.containerd.grpc.v1", "content");
    struct Row {
        const char* name;
        std::vector<Plugin> plugins;
        bool has_failed;
        const char* problem;
        const char* next_step;
    };
    const Row rows[] = {
        {"disabled",
         {other},
         false,
         "its CRI plugin is disabled, or not a part of it",
         "disabled_plugins"},
        {"failed",
         {other, plugin("io.containerd.grpc.v1", "cri", "no runtime for nvidia")},
         true,
         "its CRI plugin failed to load: no runtime for nvidia",
         "systemctl restart containerd"},
        {"2.x: the cause, not the consequence",
         {plugin("io.containerd.grpc.v1", "cri", "unable to load the dependency"),
          plugin("io.containerd.cri.v1", "images"),
          plugin("io.containerd.cri.v1", "runtime", "no runtime for nvidia")},
         true,
         "its CRI plugin failed to load: no runtime for nvidia",
         "configuration"},
        {"2.x: only the service is disabled",
         {plugin("io.containerd.cri.v1", "images"), plugin("io.containerd.cri.v1", "runtime")},
         false,
         "its CRI plugin is disabled, or not a part of it",
         "disabled_plugins"},
        {"loaded and silent",
         {plugin("io.containerd.grpc.v1", "cri")},
         false,
         "its CRI plugin is loaded and does not answer",
         "journalctl"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const CriService found = no_cri(row.plugins);
        CHECK_FALSE(found.answers);
        CHECK(found.has_failed == row.has_failed);
        CHECK(found.problem == row.problem);
        CHECK(found.next_step.find(row.next_step) != std::string::npos);
    }
    const std::string long_error(5'000, 'x');
    CHECK(no_cri({plugin("io.containerd.grpc.v1", "cri", long_error.c_str())}).problem.size() <
          400);
}

struct Fixture {
    std::string configuration;
    std::string image_directory;
    fake::Containerd server;
    Connection connection{server.socket(), {}};
    Cri cri{connection};

    Fixture() {
        server.runtime.status = [this](auto&, const auto& request, auto& response) {
            if (request.verbose()) (*response.mutable_info())["config"] = configuration;
            return Status::OK;
        };
        server.image_service.image_fs_info = [this](auto&, const auto&, auto& response) {
            if (image_directory.empty()) return Status::OK;
            auto& filesystem = *response.add_image_filesystems();
            filesystem.mutable_fs_id()->set_mountpoint(image_directory);
            return Status::OK;
        };
        server.introspection.plugins = [](auto&, const auto&, auto& response) {
            for (const char* name : {"native", "overlayfs"}) {
                auto& plugin = *response.add_plugins();
                plugin.set_type("io.containerd.snapshotter.v1");
                plugin.set_id(name);
                (*plugin.mutable_exports())["root"] = std::string("/var/lib/") + name;
            }
            return Status::OK;
        };
    }
    ~Fixture() { server.stop(); }
};

TEST_CASE("CRI's snapshotter comes from its configuration, else from its image directory") {
    Fixture at;
    at.image_directory = "/var/lib/overlayfs";
    at.configuration = R"({"containerd":{"snapshotter":"native"}})";
    CHECK(at.cri.snapshotter() == "native");
    at.configuration = "{}";
    CHECK(at.cri.snapshotter() == "overlayfs");
    at.image_directory = "/var/lib/other";
    CHECK(at.cri.snapshotter().empty());
    at.image_directory.clear();
    CHECK(at.cri.snapshotter().empty());
}

TEST_CASE("a socket without CRI") {
    Fixture at;
    CHECK_FALSE(at.cri.available());
    at.server.runtime.version = [](auto&, const auto&, auto&) { return Status::OK; };
    CHECK(at.cri.available());
    at.server.runtime.version = [](auto&, const auto&, auto&) {
        return Status(StatusCode::UNKNOWN, "broken");
    };
    CHECK(thrown_by([&] { static_cast<void>(at.cri.available()); }).code() == Errc::io);
}

TEST_CASE("an image that CRI would pull is nothing") {
    Fixture at;
    at.server.image_service.image_status = [](auto&, const auto& request, auto& response) {
        if (request.image().image() != "nginx") return Status::OK;
        response.mutable_image()->set_id("sha256:1");
        response.mutable_image()->add_repo_tags("nginx:1");
        response.mutable_image()->set_pinned(true);
        return Status::OK;
    };
    const auto image = at.cri.image_status("nginx");
    REQUIRE(image);
    CHECK(image->id == "sha256:1");
    CHECK(image->repo_tags == std::vector<std::string>{"nginx:1"});
    CHECK(image->pinned);
    CHECK_FALSE(at.cri.image_status("redis"));
}

TEST_CASE("pods are stopped, then removed") {
    Fixture at;
    std::vector<std::string> log;
    at.server.runtime.list_pods = [](auto&, const auto&, auto& response) {
        response.add_items()->set_id("a");
        response.add_items()->set_id("b");
        return Status::OK;
    };
    at.server.runtime.stop_pod = [&](auto&, const auto& request, auto&) {
        log.push_back("stop " + request.pod_sandbox_id());
        return Status::OK;
    };
    at.server.runtime.remove_pod = [&](auto&, const auto& request, auto&) {
        log.push_back("remove " + request.pod_sandbox_id());
        return Status::OK;
    };
    CHECK(at.cri.remove_pods() == 2);
    CHECK(log == std::vector<std::string>{"stop a", "remove a", "stop b", "remove b"});
    at.server.runtime.stop_pod = [](auto&, const auto&, auto&) {
        return Status(StatusCode::UNKNOWN, "hangs");
    };
    CHECK(thrown_by([&] { at.cri.remove_pods(); }).code() == Errc::io);
}

}  // namespace prebake::containerd::cri_test
