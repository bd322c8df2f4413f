#include "agent/daemon/file_watch.h"

#include <doctest/doctest.h>
#include <poll.h>

#include <fstream>
#include <functional>

#include "agent/base/error.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::daemon {
namespace {

namespace fs = std::filesystem;

void put(const fs::path& path, const char* text = "x") {
    std::ofstream(path) << text;
}

bool is_readable(const FileWatch& watch) {
    pollfd wanted{.fd = watch.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&wanted, 1, 0) == 1;
}

TEST_CASE("which changes are noticed") {
    struct Row {
        const char* name;
        std::function<void(const fs::path&)> change;
        bool is_noticed = true;
    };
    for (const Row& row : {
             Row{"nothing", [](const fs::path&) {}, false},
             Row{"written in place", [](const fs::path& state) { put(state / "claim.json", "y"); }},
             Row{"created", [](const fs::path& state) { put(state / "bake.json"); }},
             Row{"replaced by a rename",
                 [](const fs::path& state) {
                     write_file_durably(state / "claim.json", "y", 0600);
                 }},
             Row{"removed", [](const fs::path& state) { fs::remove(state / "claim.json"); }},
             Row{"renamed to another name",
                 [](const fs::path& state) {
                     fs::rename(state / "claim.json", state / "claim.json.corrupt");
                 },
                 false},
             Row{"another file", [](const fs::path& state) { put(state / "ledger.json"); }, false},
             Row{"a file of that name elsewhere",
                 [](const fs::path& state) { put(state.parent_path() / "claim.json"); }, false},
             Row{"another directory in its place",
                 [](const fs::path& state) {
                     fs::rename(state, state.parent_path() / "old");
                     fs::create_directory(state);
                 }},
             Row{"a link in its place",
                 [](const fs::path& state) {
                     fs::rename(state, state.parent_path() / "old");
                     fs::create_directory_symlink("old", state);
                 }},
         }) {
        CAPTURE(row.name);
        const TemporaryDirectory directory;
        const fs::path state = directory.path() / "state";
        fs::create_directory(state);
        put(state / "claim.json");
        FileWatch watch(state, {"bake.json", "claim.json"});
        CHECK_FALSE(is_readable(watch));
        row.change(state);
        CHECK(watch.take_changed() == row.is_noticed);
        CHECK_FALSE(is_readable(watch));
        CHECK_FALSE(watch.take_changed());
        // The watch continues in each case.
        put(state / "bake.json", "later");
        CHECK(watch.take_changed());
    }
}

TEST_CASE("without events it looks at the files at intervals") {
    const TemporaryDirectory directory;
    const fs::path state = directory.path() / "state";
    fs::create_directory(state);
    put(state / "claim.json");
    FileWatch watch(state, {"bake.json", "claim.json"}, FileWatch::Method::looking,
                    std::chrono::milliseconds(1));
    CHECK_FALSE(watch.take_changed());
    const auto is_noticed = [&] {
        pollfd wanted{.fd = watch.fd(), .events = POLLIN, .revents = 0};
        REQUIRE(::poll(&wanted, 1, -1) == 1);
        return watch.take_changed();
    };
    write_file_durably(state / "claim.json", "x", 0600);
    CHECK_MESSAGE(is_noticed(), "replaced by the same");
    put(state / "bake.json");
    CHECK(is_noticed());
    put(state / "bake.json", "y");
    CHECK(is_noticed());
    fs::rename(state / "bake.json", state / "bake.json.corrupt");
    put(state / "other.json");
    CHECK_FALSE(is_noticed());
    put(state / "bake.json");
    CHECK(is_noticed());
    fs::rename(state, directory.path() / "old");
    fs::create_directory(state);
    put(state / "claim.json");
    CHECK(is_noticed());
}

TEST_CASE("a directory that was replaced is no longer watched") {
    const TemporaryDirectory directory;
    const fs::path state = directory.path() / "state";
    FileWatch watch(state, {"claim.json"});  // creates it
    fs::rename(state, directory.path() / "old");
    fs::create_directory(state);
    CHECK(watch.take_changed());
    put(directory.path() / "old/claim.json");
    CHECK_FALSE(watch.take_changed());
    put(state / "claim.json");
    CHECK(watch.take_changed());
}

TEST_CASE("a path that ends with a slash") {
    const TemporaryDirectory directory;
    FileWatch watch(directory.path() / "deep/state/", {"claim.json"});
    put(directory.path() / "deep/state/claim.json");
    CHECK(watch.take_changed());
}

TEST_CASE("the error names the directory that cannot be created, and the cause") {
    const TemporaryDirectory directory;
    put(directory.path() / "file");
    try {
        const FileWatch watch(directory.path() / "file/state", {"claim.json"});
        FAIL("made");
    } catch (const Error& error) {
        CHECK(error.message().find("file/state: Not a directory") != std::string::npos);
    }
}

}  // namespace
}  // namespace prebake::daemon
