// Somebody changes the tree while it is written.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "agent/base/error.h"
#include "agent/layer/tree_writer.h"
#include "tests/unit/layer/tar_builder.h"
#include "tests/unit/layer/written_tree.h"

namespace prebake::layer {
namespace {

namespace fs = std::filesystem;

/// Entries of all kinds in "d" and "d/e", many times over.
std::string busy_layer() {
    std::string tar;
    for (int i = 0; i < 150; ++i) {
        const std::string n = std::to_string(i);
        tar += tests::tar_directory("d", 0777) + tests::tar_file("d/f" + n, "x") +
               tests::tar_file("d/e/g" + n, "y") + tests::tar_symlink("d/l" + n, "f") +
               tests::tar_hard_link("d/h" + n, "d/f" + n) +
               tests::TarBlock("d/e/p" + n, '6').mode(0777).str() +
               tests::tar_file("d/e", "a file") + tests::tar_directory("d/e") +
               tests::tar_file("d/.wh.w" + n, "") + tests::tar_file("d/e/.wh..wh..opq", "");
    }
    return tar;
}

TEST_CASE("a tree that changes while it is written does not lead outside" *
          doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can write trees");
        return;
    }
    const std::string layer = busy_layer();
    for (const PathOpening opening : {PathOpening::openat2_if_possible, PathOpening::walk}) {
        for (const Whiteouts whiteouts : {Whiteouts::overlay, Whiteouts::apply}) {
            const TemporaryDirectory outside;
            fs::create_directories(outside / "e");
            std::ofstream(outside / "e/precious") << "p";
            fs::permissions(outside / "e/precious", fs::perms::owner_read);
            const tests::WrittenTree tree(whiteouts);
            std::atomic<bool> is_done = false;
            // "d" and "d/e" become links to the outside and directories again.
            std::thread attacker([&] {
                std::error_code ignored;
                while (!is_done) {
                    for (const char* name : {"d", "d/e"}) {
                        const fs::path path = tree.at(name);
                        const fs::path aside = tree.at("aside");
                        fs::rename(path, aside, ignored);
                        fs::create_directory_symlink(outside.path(), path, ignored);
                        std::this_thread::yield();
                        fs::remove(path, ignored);
                        fs::rename(aside, path, ignored);
                    }
                }
            });
            const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
            int rounds = 0;
            while (std::chrono::steady_clock::now() < end || rounds < 10) {
                ++rounds;
                try {
                    tree.write(layer, {}, opening);
                } catch (const Error&) {
                    // Failing is right: nobody else may write there.
                }
            }
            is_done = true;
            attacker.join();
            std::string found;
            for (const auto& entry : fs::recursive_directory_iterator(outside.path())) {
                found += entry.path().lexically_relative(outside.path()).string() + " ";
            }
            CHECK((found == "e e/precious " || found == "e/precious e "));
            struct stat status = {};
            REQUIRE(::stat((outside / "e/precious").c_str(), &status) == 0);
            CHECK(status.st_mode == (S_IFREG | 0400U));
            CHECK(status.st_size == 1);
            CHECK(status.st_nlink == 1);
            REQUIRE(::stat(outside.path().c_str(), &status) == 0);
            CHECK(status.st_mode == (S_IFDIR | 0700U));
        }
    }
}

}  // namespace
}  // namespace prebake::layer
