#include "agent/guard/disk_usage.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "tests/unit/containerd/fake_containerd.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::guard::disk_usage_test {

using grpc::Status;

TEST_CASE("the disk of a snapshotter is found, also if the snapshotter does not say where it is") {
    struct Row {
        const char* name;
        std::string snapshotter_root;  ///< as containerd reports it; empty: not at all
        std::string content_root;
        bool is_known;
    };
    const TemporaryDirectory disk;
    std::filesystem::create_directories(disk / "snapshots");
    std::filesystem::create_directories(disk / "content");
    const std::string there = (disk / "snapshots").string();
    const std::string not_yet = (disk / "another").string();
    const std::string content = (disk / "content").string();
    const Row rows[] = {
        {"reported", there, content, true},
        {"reported, and not there so far", not_yet, content, true},
        {"not visible from here", "/nonexistent/a/b", content, false},
        {"not reported", "", content, true},
        {"nothing is reported", "", "", false},
        {"nothing is visible", "", "/nonexistent/a/b", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        containerd::fake::Containerd server;
        server.introspection.plugins = [&](auto&, const auto&, auto& response) {
            const auto add = [&](const char* type, const char* id, const std::string& root) {
                auto& plugin = *response.add_plugins();
                plugin.set_type(type);
                plugin.set_id(id);
                if (!root.empty()) (*plugin.mutable_exports())["root"] = root;
            };
            add("io.containerd.content.v1", "content", row.content_root);
            add("io.containerd.snapshotter.v1", "native", row.snapshotter_root);
            return Status::OK;
        };
        const containerd::Connection connection(server.socket(), {});
        const auto room = ContainerdDiskUsage(connection).room("native");
        CHECK(room.has_value() == row.is_known);
        if (room) CHECK(room->total_bytes == std::filesystem::space(disk.path()).capacity);
        server.stop();
    }
}

}  // namespace prebake::guard::disk_usage_test
