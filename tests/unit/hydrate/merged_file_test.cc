#include "agent/hydrate/merged_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fstream>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace merged_file_test {

/// Three layers; "2" is the uppermost.
class Layers {
  public:
    Layers() {
        for (const char* name : {"0", "1", "2"}) std::filesystem::create_directory(at(name));
    }
    std::filesystem::path at(const std::string& path) const { return directory_ / path; }
    void write(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories(at(path).parent_path());
        std::ofstream(at(path)) << text;
    }
    void link(const std::string& path, const std::string& target) const {
        std::filesystem::create_directories(at(path).parent_path());
        std::filesystem::create_symlink(target, at(path));
    }
    std::string read(const std::string& path) const {
        return read_merged_file({at("2"), at("1"), at("0")}, path, 100).value_or("nothing");
    }

  private:
    TemporaryDirectory directory_;
};

TEST_CASE("the uppermost file counts, and links stay inside") {
    const Layers layers;
    layers.write("0/etc/passwd", "low");
    layers.write("0/etc/group", "low");
    layers.write("1/etc/group", "middle");
    layers.write("0/store/group", "stored");
    layers.write("0/a/b/c", "deep");
    layers.link("2/etc/absolute", "/store/group");
    layers.link("2/etc/relative", "../store/./group");
    layers.link("2/etc/outside", "../../../../../../store/group");
    layers.link("2/usr", "a");
    layers.link("2/loop", "loop");
    layers.link("2/etc/real", "/etc/shadow-of-the-host");
    CHECK(layers.read("etc/passwd") == "low");
    CHECK(layers.read("etc/group") == "middle");
    CHECK(layers.read("etc/absolute") == "stored");
    CHECK(layers.read("etc/relative") == "stored");
    CHECK(layers.read("etc/outside") == "stored");
    CHECK(layers.read("usr/b/c") == "deep");
    CHECK(layers.read("loop") == "nothing");
    CHECK(layers.read("etc/real") == "nothing");
    CHECK(layers.read("etc") == "nothing");
    CHECK(layers.read("etc/passwd/x") == "nothing");
    CHECK(layers.read("nowhere/at/all") == "nothing");
    layers.write("0/large", std::string(101, 'x'));
    CHECK_THROWS_AS(layers.read("large"), Error);
}

TEST_CASE("a file of an upper layer hides a directory below it") {
    const Layers layers;
    layers.write("0/etc/passwd", "low");
    layers.write("1/etc", "a file");
    layers.write("2/other/x", "");
    CHECK(layers.read("etc/passwd") == "nothing");
    CHECK(layers.read("etc") == "a file");
    layers.write("2/etc2/x", "");
    layers.write("1/etc2", "hidden");
    CHECK(layers.read("etc2") == "nothing");
    CHECK(layers.read("etc2/x").empty());
}

TEST_CASE("what is removed in a layer is not there") {
    const Layers layers;
    layers.write("0/etc/passwd", "low");
    layers.write("0/opt/etc/x", "low");
    layers.write("1/opt/y", "");
    layers.write("1/etc/x", "");
    for (const char* path : {"1/etc/passwd", "1/opt/etc"}) {
        // Since Linux 5.8 without privileges.
        REQUIRE(::mknod(layers.at(path).c_str(), S_IFCHR, ::makedev(0, 0)) == 0);
    }
    CHECK(layers.read("etc/passwd") == "nothing");
    CHECK(layers.read("opt/etc/x") == "nothing");
    CHECK(layers.read("opt/y").empty());
}

}  // namespace merged_file_test

}  // namespace prebake::hydrate
