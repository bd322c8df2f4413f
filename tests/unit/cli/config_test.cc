#include "agent/cli/config.h"

#include <doctest/doctest.h>

#include <fstream>

#include "agent/base/error.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::cli {
namespace {

Config read(const std::string& text) {
    const TemporaryDirectory directory;
    const auto file = directory.path() / "prebake.toml";
    std::ofstream(file) << text;
    return read_config(file);
}

TEST_CASE("every key is read, and what is not said keeps its default") {
    const Config config = read(R"(
[containerd]
address = "/run/other.sock"
namespaces = ["moby", "default"]
snapshotter = "native"
[bake]
image_lists = "/srv/lists"
memory = "32MiB"
parallel_images = 2
parallel_downloads = 9
[registry]
docker_config = "/srv/config.json"
connect_timeout = "5s"
stall_timeout = "250ms"
attempts = 2
)");
    CHECK(config.address == "/run/other.sock");
    CHECK(config.namespaces == std::vector<std::string>{"moby", "default"});
    CHECK(config.snapshotter == "native");
    CHECK(config.image_lists == "/srv/lists");
    CHECK(config.memory == 32ULL << 20);
    CHECK(config.parallel_images == 2);
    CHECK(config.parallel_downloads == 9);
    CHECK(config.docker_config == "/srv/config.json");
    CHECK(config.connect_timeout == std::chrono::seconds(5));
    CHECK(config.stall_timeout == std::chrono::milliseconds(250));
    CHECK(config.attempts == 2);
    CHECK(read("").attempts == Config().attempts);
}

TEST_CASE("mistakes are named with file, line and the nearest key") {
    struct Row {
        const char* text;
        std::vector<std::string> parts;
    };
    for (const Row& row :
         {Row{"[containerd]\nadress = \"/x\"\n", {"prebake.toml:2", "adress", "\"address\""}},
          Row{"[containrd]\n", {"prebake.toml:1", "containrd", "\"containerd\""}},
          Row{"[bake]\nmemory = 64\n", {"prebake.toml:2", "memory", "a string"}},
          Row{"[bake]\nmemory = \"64 parsecs\"\n", {"prebake.toml:2", "64 parsecs"}},
          Row{"[bake]\nparallel_images = 0\n", {"prebake.toml:2", "from 1 to 1000"}},
          Row{"bake = 1\n", {"prebake.toml:1", "must be a table"}},
          Row{"[bake\n", {"prebake.toml:1"}}}) {
        CAPTURE(row.text);
        try {
            read(row.text);
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(error.code() == Errc::usage);
            for (const std::string& part : row.parts) {
                CHECK_MESSAGE(std::string(error.what()).find(part) != std::string::npos,
                              error.what());
            }
        }
    }
}

TEST_CASE("a named file must exist") {
    CHECK_THROWS_AS(read_config("/does/not/exist.toml"), Error);
}

}  // namespace
}  // namespace prebake::cli
