#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "agent/layer/apply.h"
#include "agent/layer/tree_writer.h"
#include "tests/unit/layer/tar_builder.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::tests {

/// False, with a message, for everybody but root.
inline bool is_root() {
    if (::geteuid() == 0) return true;
    MESSAGE("not run: only root can write every tree");
    return false;
}

/// A directory that layers are written into.
class WrittenTree {
  public:
    explicit WrittenTree(layer::Whiteouts whiteouts = layer::Whiteouts::overlay)
        : whiteouts_(whiteouts),
          fd_(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

    /// Writes `tar` and finishes it.
    void write(const std::string& tar, const std::vector<const WrittenTree*>& lowers = {},
               layer::PathOpening opening = layer::PathOpening::openat2_if_possible) const {
        TextSource source(tar);
        layer::TreeWriter writer(fd_.get(), whiteouts_, opening);
        layer::apply(source, writer);
        std::vector<int> fds;
        for (const WrittenTree* lower : lowers) fds.push_back(lower->fd_.get());
        writer.finish(fds);
    }

    int fd() const { return fd_.get(); }
    std::filesystem::path at(const std::string& path) const { return directory_.path() / path; }
    bool has(const std::string& path) const {
        struct stat status = {};
        return ::lstat(at(path).c_str(), &status) == 0;
    }
    struct stat status(const std::string& path) const {
        struct stat status = {};
        if (::lstat(at(path).c_str(), &status) != 0) {
            throw std::runtime_error("there is no " + path);
        }
        return status;
    }
    /// "MODE UID:GID", the mode with its type, in octal.
    std::string attributes(const std::string& path) const {
        const struct stat found = status(path);
        std::array<char, 64> text{};
        std::snprintf(text.data(), text.size(), "%o %u:%u", found.st_mode, found.st_uid,
                      found.st_gid);
        return text.data();
    }
    std::string contents(const std::string& path) const {
        std::ifstream file(at(path), std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    std::optional<std::string> xattr(const std::string& path, const std::string& name) const {
        std::string value(1000, '\0');
        const ssize_t size =
            ::lgetxattr(at(path).c_str(), name.c_str(), value.data(), value.size());
        if (size < 0) return std::nullopt;
        value.resize(static_cast<std::size_t>(size));
        return value;
    }

  private:
    TemporaryDirectory directory_;
    layer::Whiteouts whiteouts_;
    FileDescriptor fd_;
};

}  // namespace prebake::tests
