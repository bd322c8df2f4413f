#include "agent/containerd/config_file.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/unit/temporary_directory.h"

namespace prebake::containerd {
namespace {

namespace fs = std::filesystem;

struct File {
    std::string name;
    std::string text;
};

ConfiguredRuntime read(const std::vector<File>& files) {
    const TemporaryDirectory directory;
    for (const File& file : files) {
        const fs::path path = directory.path() / file.name;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << file.text;
    }
    return read_config_file(directory.path() / "config.toml");
}

constexpr const char* kVersion2 = R"(version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.example/pause:2"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
)";

TEST_CASE("the directories of registries are read from every version") {
    const auto directories = [](const std::string& text) {
        return read({{"config.toml", text}}).hosts_directories;
    };
    using Paths = std::vector<fs::path>;
    CHECK(directories("version = 2\n").empty());
    CHECK(directories("[plugins.cri.registry]\nconfig_path = \"/a\"\n") == Paths{"/a"});
    CHECK(directories("version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\n"
                      "config_path = \"/a:/b\"\n") == Paths{"/a", "/b"});
    CHECK(directories("version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n"
                      "config_path = \":/a::/b:\"\n") == Paths{"/a", "/b"});
    CHECK(directories("[plugins.cri.registry]\nconfig_path = \"\"\n").empty());
}

TEST_CASE("the directory of what runs is read, and imports override it") {
    const auto state = [](const std::vector<File>& files) { return read(files).state; };
    CHECK(state({}).empty());
    CHECK(state({{"config.toml", "version = 2\nstate = \"\"\n"}}).empty());
    CHECK(state({{"config.toml", "version = 2\nstate = \"/run/a\"\n"}}) == "/run/a");
    CHECK(state({{"config.toml", "state = \"/run/a\"\nimports = [\"b.toml\"]\n"},
                 {"b.toml", "state = \"/run/b\"\n"}}) == "/run/b");
}

TEST_CASE("the settings for image verifiers are read") {
    const ConfiguredRuntime unset = read({{"config.toml", kVersion2}});
    CHECK(unset.verifier_directory.empty());
    CHECK_FALSE(unset.max_verifiers);
    const ConfiguredRuntime set = read({{"config.toml",
                                         "version = 3\n"
                                         "imports = [\"conf.d/*.toml\"]\n"},
                                        {"conf.d/verifier.toml",
                                         "[plugins.\"io.containerd.image-verifier.v1.bindir\"]\n"
                                         "bin_dir = \"/opt/verifiers\"\nmax_verifiers = -1\n"
                                         "per_verifier_timeout = \"1m0s\"\n"}});
    CHECK(set.verifier_directory == "/opt/verifiers");
    CHECK(set.max_verifiers == -1);
    CHECK(set.verifier_time_limit == "1m0s");
}

TEST_CASE("the snapshotter and the sandbox image are read from every version") {
    struct Row {
        const char* name;
        std::vector<File> files;
        std::string snapshotter;
        std::string sandbox_image;
    };
    const std::string snapshotter_of_3 =
        "version = 3\n[plugins.'io.containerd.cri.v1.images']\nsnapshotter = \"btrfs\"\n";
    for (const Row& row : {
             Row{"no file", {}, "", ""},
             Row{"an empty one", {{"config.toml", ""}}, "", ""},
             Row{"version 1",
                 {{"config.toml",
                   "[plugins.cri]\nsandbox_image = \"p:1\"\n[plugins.cri.containerd]\n"
                   "snapshotter = \"zfs\"\n"}},
                 "zfs",
                 "p:1"},
             Row{"version 2", {{"config.toml", kVersion2}}, "native", "registry.example/pause:2"},
             Row{"version 3",
                 {{"config.toml", snapshotter_of_3 +
                                      "[plugins.'io.containerd.cri.v1.images'.pinned_images]\n"
                                      "sandbox = \"p:3\"\n"}},
                 "btrfs",
                 "p:3"},
             Row{"other types than expected",
                 {{"config.toml",
                   "plugins = 7\n[proxy_plugins.cri]\nsnapshotter = \"no\"\nsandbox_image = 1\n"}},
                 "",
                 ""},
             Row{"not TOML", {{"config.toml", "[plugins\n"}}, "", ""},
             Row{"an import overrides its importer, a later import an earlier one",
                 {{"config.toml", std::string("imports = [\"conf.d/*.toml\"]\n") + kVersion2},
                  {"conf.d/10.toml", snapshotter_of_3},
                  {"conf.d/20.toml",
                   "[plugins.\"io.containerd.cri.v1.images\"]\nsnapshotter = \"zfs\"\n"},
                  {"conf.d/30.txt", kVersion2}},
                 "zfs",
                 "registry.example/pause:2"},
             Row{"imports of imports, and circles",
                 {{"config.toml", "imports = [\"*.toml\"]\n"},
                  {"a.toml", "imports = [\"*.toml\", \"sub/b.toml\", \"none.toml\"]\n"},
                  {"sub/b.toml", "imports = [\"../config.toml\"]\n" + snapshotter_of_3}},
                 "btrfs",
                 ""},
             Row{"a broken import leaves what was read",
                 {{"config.toml", std::string("imports = [\"b.toml\"]\n") + kVersion2},
                  {"b.toml", "]"}},
                 "native",
                 "registry.example/pause:2"},
         }) {
        CAPTURE(row.name);
        const ConfiguredRuntime runtime = read(row.files);
        CHECK(runtime.snapshotter == row.snapshotter);
        CHECK(runtime.sandbox_image == row.sandbox_image);
    }
}

TEST_CASE("each of the files that import each other is read once") {
    std::vector<File> files{{"config.toml", "imports = [\"*.toml\"]\n"}};
    // If every import read its file again, there would be 12! reads.
    for (char c = 'a'; c < 'm'; ++c) {
        files.push_back({std::string(1, c) + ".toml", "imports = [\"*.toml\"]\n"});
    }
    files.push_back({"z.toml", kVersion2});
    CHECK(read(files).snapshotter == "native");
}

}  // namespace
}  // namespace prebake::containerd
