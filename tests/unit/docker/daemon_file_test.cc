#include "agent/docker/daemon_file.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::docker::daemon_file_test {

TEST_CASE("what dockerd's configuration says of its store") {
    struct Row {
        const char* text;
        std::optional<bool> containerd_snapshotter;
        const char* storage_driver = "";
        const char* userns_remap = "";
    };
    const std::vector<Row> rows{
        {R"({"features":{"containerd-snapshotter":true}})", true},
        {R"({"features":{"containerd-snapshotter":false,"buildkit":true},"debug":true})", false},
        {R"({"features":{"containerd-snapshotter":"yes"}})", {}},
        {R"({"features":[]})", {}},
        {R"({"storage-driver":"overlay2","userns-remap":"default"})", {}, "overlay2", "default"},
        {R"({"storage-driver":7})", {}},
        {R"([1])", {}},
        {R"({"features":)", {}},
        {"", {}},
    };
    const TemporaryDirectory directory;
    const auto path = directory.path() / "daemon.json";
    for (const Row& row : rows) {
        CAPTURE(row.text);
        write_file_durably(path, row.text, 0600);
        const DaemonFile file = read_daemon_file(path);
        CHECK(file.path == path);
        CHECK(file.containerd_snapshotter == row.containerd_snapshotter);
        CHECK(file.storage_driver == row.storage_driver);
        CHECK(file.userns_remap == row.userns_remap);
    }
    CHECK_FALSE(read_daemon_file(directory.path() / "none").containerd_snapshotter);
    write_file_durably(path, R"({"features":{"containerd-migration":true}})", 0600);
    CHECK(read_daemon_file(path).migrates);
}

}  // namespace prebake::docker::daemon_file_test
