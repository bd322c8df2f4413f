#pragma once

#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace prebake {

/// Memory is faster for tests that sync files.
enum class TestStorage { disk, memory_if_possible };

/// A new empty directory that is removed with its contents when the test is over. Its path is short
/// enough for sockets in it.
class TemporaryDirectory {
  public:
    explicit TemporaryDirectory(TestStorage storage = TestStorage::disk) {
        std::string name = (parent(storage) / "prebake-test.XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
        path_ = name;
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(const std::filesystem::path& name) const {
        return path_ / name;
    }

  private:
    static std::filesystem::path parent(TestStorage storage) {
        constexpr const char* kMemory = "/dev/shm";
        struct statvfs status {};
        // Tests run programs in it, which containers often forbid.
        const bool is_usable =
            storage == TestStorage::memory_if_possible && ::statvfs(kMemory, &status) == 0 &&
            (status.f_flag & ST_NOEXEC) == 0 && ::access(kMemory, W_OK | X_OK) == 0;
        return is_usable ? kMemory : std::filesystem::temp_directory_path();
    }

    std::filesystem::path path_;
};

}  // namespace prebake
