#include "agent/base/file_trust.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/temporary_directory.h"

namespace prebake {
namespace {

namespace fs = std::filesystem;
using tests::contains;
using tests::thrown_by;

constexpr uid_t kEve = 1000;

TEST_CASE("who can change a file, by its owner and mode") {
    struct Row {
        const char* name;
        Ownership file;
        bool is_trusted;
    };
    const Row rows[] = {
        {"root's file", {0, 0, 0644, false}, true},
        {"root's file, of another group", {0, 4, 0640, false}, true},
        {"root's file that its group can write", {0, 0, 0664, false}, false},
        {"root's file that all can write", {0, 0, 0646, false}, false},
        {"the trusted user's file", {7, 7, 0600, false}, true},
        {"that user's file that all can write", {7, 7, 0606, false}, false},
        {"another user's file", {8, 7, 0600, false}, false},
        {"root's directory", {0, 0, 0755, true}, true},
        {"/var/log of Ubuntu", {0, 102, 0775, true}, false},
        {"/usr/local of Debian", {0, 50, 02775, true}, false},
        {"/tmp", {0, 0, 01777, true}, true},
        {"crontabs", {0, 105, 01730, true}, true},
        {"another user's /tmp", {8, 8, 01777, true}, false},
        {"a file with the sticky bit", {0, 0, 01666, false}, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(is_changed_only_by({7}, row.file) == row.is_trusted);
    }
    CHECK(to_string(Ownership{0, 102, 0775, true}) == "owner 0, group 102, mode 0775");
}

/// A directory with a file of ours.
struct OwnFile {
    OwnFile() {
        fs::create_directory(directory / "sub");
        std::ofstream(path()) << "text";
        set_mode("sub", 0755);
        set_mode("sub/file", 0644);
    }
    fs::path path() const { return directory / "sub/file"; }
    void set_mode(const char* name, mode_t mode) const {
        REQUIRE(::chmod((directory / name).c_str(), mode) == 0);
    }
    void give_to_eve(const char* name) const {
        REQUIRE(::lchown((directory / name).c_str(), kEve, kEve) == 0);
    }
    bool is_refused(WhoseFile whose) const {
        try {
            read_trusted_file(path(), 100, whose);
            return false;
        } catch (const Error& error) {
            if (error.code() != Errc::untrusted) throw;
            return true;
        }
    }

    TemporaryDirectory directory;
};

TEST_CASE("a file that others can write, or replace, is refused with its owner and mode") {
    const OwnFile file;
    CHECK(read_trusted_file(file.path(), 100, WhoseFile::ours) == "text");
    CHECK(thrown_by([&] { read_trusted_file(file.path(), 3, WhoseFile::ours); }).code() ==
          Errc::too_large);
    CHECK(thrown_by([&] {
              read_trusted_file(file.directory / "missing", 100, WhoseFile::ours);
          }).code() == Errc::not_found);

    file.set_mode("sub/file", 0666);
    const Error error =
        thrown_by([&] { read_trusted_file(file.path(), 100, WhoseFile::invokers); });
    CHECK(error.code() == Errc::untrusted);
    CHECK(contains(error.message(), file.path().string()));
    CHECK(contains(error.message(), "owner " + std::to_string(::geteuid())));
    CHECK(contains(error.message(), "mode 0666"));
    CHECK(error.next_step() == "run chmod go-w " + file.path().string());
    file.set_mode("sub/file", 0664);
    CHECK(file.is_refused(WhoseFile::ours));
    file.set_mode("sub/file", 0644);

    file.set_mode("sub", 0777);
    CHECK(
        contains(thrown_by([&] { read_trusted_file(file.path(), 100, WhoseFile::ours); }).message(),
                 "/sub can be changed by other users"));
    file.set_mode("sub", 01777);
    CHECK(read_trusted_file(file.path(), 100, WhoseFile::ours) == "text");
}

TEST_CASE("links count with the directories on both ways") {
    const OwnFile file;
    fs::create_directory(file.directory / "open");
    fs::create_symlink("../sub/file", file.directory / "sub/link");
    fs::create_symlink("../sub/link", file.directory / "open/link");
    fs::create_symlink(file.directory / "sub", file.directory / "way");
    CHECK(read_trusted_file(file.directory / "sub/link", 100, WhoseFile::ours) == "text");
    CHECK(read_trusted_file(file.directory / "open/link", 100, WhoseFile::ours) == "text");
    CHECK(read_trusted_file(file.directory / "open/../way/./file", 100, WhoseFile::ours) == "text");
    file.set_mode("open", 0777);
    for (const char* name : {"open/link", "open/../way/file"}) {
        CAPTURE(name);
        CHECK(thrown_by([&] {
                  read_trusted_file(file.directory / name, 100, WhoseFile::ours);
              }).code() == Errc::untrusted);
    }
}

TEST_CASE("what a shell passes as an open file") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    REQUIRE(::write(ends[1], "text", 4) == 4);
    ::close(ends[1]);
    CHECK(read_trusted_file("/dev/fd/" + std::to_string(ends[0]), 100, WhoseFile::invokers) ==
          "text");
    ::close(ends[0]);

    const OwnFile file;
    const FileDescriptor here_document(::open(file.path().c_str(), O_RDONLY | O_CLOEXEC));
    fs::remove(file.path());
    const std::string path = "/dev/fd/" + std::to_string(here_document.get());
    CHECK(read_trusted_file(path, 100, WhoseFile::invokers) == "text");
}

TEST_CASE("the files of the user who ran sudo" * doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a file to somebody");
        return;
    }
    const OwnFile file;
    file.give_to_eve("sub/file");
    CHECK(file.is_refused(WhoseFile::invokers));
    const std::string found =
        tests::in_child([] { return ""; },
                        [&]() -> std::string {
                            ::setenv("SUDO_UID", "1000", 1);
                            // As Packer uploads it.
                            file.set_mode("sub", 01777);
                            if (file.is_refused(WhoseFile::invokers)) return "in /tmp";
                            // In the user's home.
                            file.set_mode("sub", 0755);
                            file.give_to_eve("sub");
                            if (file.is_refused(WhoseFile::invokers)) return "at home";
                            if (!file.is_refused(WhoseFile::ours))
                                return "also in a configured place";
                            ::setenv("SUDO_UID", "1001", 1);
                            if (!file.is_refused(WhoseFile::invokers)) return "of another user";
                            ::setenv("SUDO_UID", "1000x", 1);
                            return file.is_refused(WhoseFile::invokers) ? "" : "without a number";
                        });
    CHECK(found == "");
}

TEST_CASE("a user's own group may write, if nobody else is in it" * doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a file to somebody");
        return;
    }
    struct Row {
        const char* name;
        const char* passwd;
        const char* group;
        bool is_trusted;
    };
    const Row rows[] = {
        {"their own group", "eve:x:1000:1000::/:/bin/sh\n", "eve:x:1000:\n", true},
        {"their own group, named twice", "eve:x:1000:1000::/:/bin/sh\n", "eve:x:1000:eve\n", true},
        {"another member", "eve:x:1000:1000::/:/bin/sh\n", "eve:x:1000:bob\n", false},
        {"another member too", "eve:x:1000:1000::/:/bin/sh\n", "eve:x:1000:eve,bob\n", false},
        {"another user's own group, too",
         "eve:x:1000:1000::/:/bin/sh\nbob:x:1001:1000::/:/bin/sh\n", "eve:x:1000:\n", false},
        {"another group", "eve:x:1000:100::/:/bin/sh\n", "eve:x:1000:\n", false},
        {"unknown", "", "", false},
    };
    const OwnFile file;
    file.give_to_eve("sub/file");
    file.set_mode("sub/file", 0664);
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::ofstream(file.directory / "passwd") << row.passwd;
        std::ofstream(file.directory / "group") << row.group;
        const std::string found = tests::in_own_mounts([&]() -> std::string {
            tests::bind(file.directory / "passwd", "/etc/passwd");
            tests::bind(file.directory / "group", "/etc/group");
            ::setenv("SUDO_UID", "1000", 1);
            if (!file.is_refused(WhoseFile::ours)) return "in a configured place";
            return file.is_refused(WhoseFile::invokers) ? "refused" : "";
        });
        CHECK(found == (row.is_trusted ? "" : "refused"));
    }
}

}  // namespace
}  // namespace prebake
