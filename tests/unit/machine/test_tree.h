#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "agent/machine/root.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::tests {

/// The tree of a machine in a temporary directory. Paths are those inside.
class TestTree {
  public:
    const std::filesystem::path& path() const { return directory_.path(); }
    std::filesystem::path at(const std::string& path) const {
        return directory_ / std::filesystem::path(path).relative_path();
    }
    machine::Root root() const { return machine::Root(path()); }

    void put(const std::string& path, const std::string& contents, mode_t mode = 0644) const {
        std::filesystem::create_directories(at(path).parent_path());
        std::ofstream(at(path), std::ios::binary) << contents;
        ::chmod(at(path).c_str(), mode);
    }
    void make_directory(const std::string& path) const {
        std::filesystem::create_directories(at(path));
    }
    void link(const std::string& path, const std::string& target) const {
        std::filesystem::create_directories(at(path).parent_path());
        std::filesystem::create_symlink(target, at(path));
    }

    bool has(const std::string& path) const {
        return std::filesystem::exists(std::filesystem::symlink_status(at(path)));
    }
    std::string text(const std::string& path) const {
        std::ifstream file(at(path), std::ios::binary);
        std::ostringstream contents;
        contents << file.rdbuf();
        return contents.str();
    }

    /// Everything in it: path -> kind, mode and contents.
    std::map<std::string, std::string> everything() const {
        std::map<std::string, std::string> all;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(path())) {
            struct stat status {};
            ::lstat(entry.path().c_str(), &status);
            std::ostringstream line;
            line << std::oct << status.st_mode << ' ';
            if (S_ISREG(status.st_mode)) line << std::ifstream(entry.path()).rdbuf();
            if (S_ISLNK(status.st_mode)) line << std::filesystem::read_symlink(entry.path());
            all["/" + entry.path().lexically_relative(path()).string()] = line.str();
        }
        return all;
    }

  private:
    /// In memory, because the tested code syncs a lot.
    TemporaryDirectory directory_{TestStorage::memory_if_possible};
};

/// The mode of a machine-id: 0444, which keeps anybody but root from emptying it.
inline mode_t machine_id_mode() {
    return ::geteuid() == 0 ? 0444 : 0644;
}

}  // namespace prebake::tests
