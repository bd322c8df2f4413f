#include "agent/base/file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace fs = std::filesystem;
using prebake::Errc;
using prebake::FileDescriptor;
using prebake::TemporaryDirectory;
using prebake::tests::contains;
using prebake::tests::thrown_by;

namespace {

std::vector<std::string> names_in(const fs::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

void write_plainly(const fs::path& path, const std::string& contents) {
    std::ofstream(path, std::ios::binary) << contents;
}

std::string read_plainly(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

mode_t mode_of(const fs::path& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777U;
}

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) != -1;
}

int open_null() {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

/// Reading and writing end. Non-blocking, so that a defect leads to an error, not to a hang.
std::pair<FileDescriptor, FileDescriptor> make_pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
    return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

/// Limits all files of this process to `bytes`, so that a write fails in the middle.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t bytes) : old_handler_(::signal(SIGXFSZ, SIG_IGN)) {
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &old_limit_) == 0);
        const rlimit limit{.rlim_cur = bytes, .rlim_max = old_limit_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &old_limit_);
        ::signal(SIGXFSZ, old_handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

  private:
    rlimit old_limit_{};
    sighandler_t old_handler_;
};

}  // namespace

TEST_CASE("errno_error() translates errno and names object and reason") {
    struct Case {
        int number;
        Errc code;
    };
    for (const Case& row : std::vector<Case>{{ENOSPC, Errc::no_space},
                                             {EDQUOT, Errc::no_space},
                                             {ENOENT, Errc::not_found},
                                             {EACCES, Errc::permission_denied},
                                             {EPERM, Errc::permission_denied},
                                             {EROFS, Errc::permission_denied},
                                             {EIO, Errc::io},
                                             {EISDIR, Errc::io},
                                             {EMFILE, Errc::io}}) {
        CAPTURE(row.number);
        errno = row.number;
        const prebake::Error error = prebake::errno_error("cannot write", "/some/file");
        CHECK(error.code() == row.code);
        CHECK(error.message() ==
              "cannot write /some/file: " + std::system_category().message(row.number));
    }
}

TEST_CASE("a FileDescriptor closes what it owns, once") {
    CHECK_FALSE(FileDescriptor());
    CHECK_FALSE(FileDescriptor(-1));
    const int raw = open_null();
    {
        FileDescriptor first(raw);
        CHECK(first);
        FileDescriptor second(std::move(first));
        CHECK_FALSE(
            first);  // NOLINT(bugprone-use-after-move): the state after a move is the contract
        CHECK(second.get() == raw);
        CHECK(is_open(raw));
    }
    CHECK_FALSE(is_open(raw));
}

TEST_CASE("assigning to a FileDescriptor closes the old one") {
    const int old_fd = open_null();
    const int new_fd = open_null();
    {
        FileDescriptor owner(old_fd);
        owner = FileDescriptor(new_fd);
        CHECK(owner.get() == new_fd);
        CHECK_FALSE(is_open(old_fd));
        CHECK(is_open(new_fd));
    }
    CHECK_FALSE(is_open(new_fd));
}

TEST_CASE("read_file() returns every byte up to its limit") {
    const TemporaryDirectory directory;
    const std::string binary("\0a\nb\xff", 5);
    // Sizes around the read buffer.
    for (const std::string& contents : {std::string(), binary, std::string(65535, 'x'),
                                        std::string(65536, 'x'), std::string(65537, 'x')}) {
        CAPTURE(contents.size());
        write_plainly(directory.path() / "file", contents);
        CHECK(prebake::read_file(directory.path() / "file", contents.size()) == contents);
        CHECK(prebake::read_file(directory.path() / "file", contents.size() + 1) == contents);
        if (contents.empty()) continue;
        const auto error =
            thrown_by([&] { prebake::read_file(directory.path() / "file", contents.size() - 1); });
        CHECK(error.code() == Errc::too_large);
        CHECK(contains(error.message(), (directory.path() / "file").string()));
    }
}

TEST_CASE("read_file() reports why it cannot read") {
    const TemporaryDirectory directory;
    CHECK(thrown_by([&] { prebake::read_file(directory.path() / "missing", 10); }).code() ==
          Errc::not_found);
    CHECK(thrown_by([&] { prebake::read_file(directory.path(), 10); }).code() == Errc::io);
    write_plainly(directory.path() / "file", "x");
    CHECK(thrown_by([&] { prebake::read_file(directory.path() / "file" / "below", 10); }).code() ==
          Errc::io);
    const auto endless = thrown_by([] { prebake::read_file("/dev/zero", 100'000); });
    CHECK(endless.code() == Errc::too_large);
}

TEST_CASE("read_descriptor() reads a pipe to its end, and uses its name in errors") {
    auto [reader, writer] = make_pipe();
    REQUIRE(::write(writer.get(), "list", 4) == 4);
    writer = FileDescriptor();
    CHECK(prebake::read_descriptor(reader.get(), "standard input", 4) == "list");
    CHECK(prebake::read_descriptor(reader.get(), "standard input", 4).empty());
    const auto error = thrown_by([] { prebake::read_descriptor(-1, "standard input", 4); });
    CHECK(error.code() == Errc::io);
    CHECK(contains(error.message(), "standard input"));
}

TEST_CASE("write_file_durably() creates the file with its mode, and its parents") {
    const TemporaryDirectory directory;
    const fs::path path = directory.path() / "state" / "prebake" / "bake.json";
    const mode_t old_mask = ::umask(077);
    prebake::write_file_durably(path, "{}", 0644);
    ::umask(old_mask);
    CHECK(read_plainly(path) == "{}");
    // The requested mode, whatever the umask is: other tools have to read the record.
    CHECK(mode_of(path) == 0644);

    prebake::write_file_durably(path, "", 0600);
    CHECK(read_plainly(path).empty());
    CHECK(mode_of(path) == 0600);
    CHECK(names_in(directory.path()) == std::vector<std::string>{"state"});
}

TEST_CASE("write_file_durably() replaces the file, never writes into it") {
    const TemporaryDirectory directory;
    const fs::path path = directory.path() / "bake.json";
    write_plainly(path, "old");
    fs::create_hard_link(path, directory.path() / "witness");
    const std::string contents = std::string(200'000, 'n') + '\0' + "w";
    prebake::write_file_durably(path, contents, 0644);
    CHECK(read_plainly(path) == contents);
    CHECK(read_plainly(directory.path() / "witness") == "old");
    CHECK(names_in(directory.path()) == std::vector<std::string>{"bake.json", "witness"});
}

TEST_CASE("write_file_durably() that fails leaves neither a changed file nor a temporary one") {
    const TemporaryDirectory directory;
    fs::create_directory(directory.path() / "bake.json");
    write_plainly(directory.path() / "bake.json" / "inside", "kept");
    const auto error = thrown_by(
        [&] { prebake::write_file_durably(directory.path() / "bake.json", "new", 0644); });
    CHECK(error.code() == Errc::io);
    CHECK(read_plainly(directory.path() / "bake.json" / "inside") == "kept");
    CHECK(names_in(directory.path()) == std::vector<std::string>{"bake.json"});

    write_plainly(directory.path() / "file", "x");
    const fs::path below = directory.path() / "file" / "below" / "bake.json";
    CHECK(thrown_by([&] { prebake::write_file_durably(below, "new", 0644); }).code() == Errc::io);
    CHECK(read_plainly(directory.path() / "file") == "x");
}

TEST_CASE(
    "write_file_durably() that fails in the middle leaves the old file and no temporary one") {
    const TemporaryDirectory directory;
    const fs::path path = directory.path() / "bake.json";
    write_plainly(path, "old");
    const std::string contents(200'000, 'n');
    const auto error = [&] {
        const FileSizeLimit limit(100'000);
        return thrown_by([&] { prebake::write_file_durably(path, contents, 0644); });
    }();
    CHECK(error.code() == Errc::io);
    CHECK(contains(error.message(), path.string()));
    CHECK(read_plainly(path) == "old");
    CHECK(names_in(directory.path()) == std::vector<std::string>{"bake.json"});
}

TEST_CASE("sync_file_system() reports whether it could see the path") {
    const TemporaryDirectory directory;
    CHECK(prebake::sync_file_system(directory.path()));
    CHECK_FALSE(prebake::sync_file_system(directory.path() / "missing"));
}

TEST_CASE("disk_space() distinguishes file systems") {
    const TemporaryDirectory directory;
    write_plainly(directory.path() / "file", "x");
    const auto of_directory = prebake::disk_space(directory.path());
    CHECK(of_directory.available_bytes > 0);
    CHECK(prebake::disk_space(directory.path() / "file").device == of_directory.device);
    CHECK(prebake::disk_space("/proc").device != of_directory.device);
    CHECK(thrown_by([&] { prebake::disk_space(directory.path() / "missing"); }).code() ==
          Errc::not_found);
}

TEST_CASE("a FileLock excludes others while it exists") {
    const TemporaryDirectory directory;
    const fs::path path = directory.path() / "run" / "lock";
    {
        const prebake::FileLock lock(path);
        const auto error = thrown_by([&] { prebake::FileLock second(path); });
        CHECK(error.code() == Errc::conflict);
        CHECK(contains(error.message(), path.string()));
        CHECK_FALSE(error.next_step().empty());
    }
    CHECK_NOTHROW(prebake::FileLock{path});
    CHECK(thrown_by([&] { prebake::FileLock lock(directory.path()); }).code() == Errc::io);
}
