#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "agent/base/file.h"
#include "agent/layer/contained.h"
#include "agent/layer/implied_directories.h"

namespace prebake::layer {

/// A directory of the tree, open.
struct Directory {
    std::string path;  ///< resolved: no component is a link; "" is the root
    FileDescriptor fd;

    std::string path_of(const std::string& name) const {
        return path.empty() ? name : path + "/" + name;
    }
};

using DirectoryPointer = std::shared_ptr<const Directory>;

/// The directories that entries are put into. Finds them through the links of the tree, makes those
/// that are missing, and keeps the last ones open: most entries are in the directory of the entry
/// before them.
class Parents {
  public:
    explicit Parents(const Contained& tree) : tree_(tree) {}

    /// The directory `path` (a clean_path()); it and what is above it are made if they are missing.
    /// @throws Error corrupt if a file is in the way; no_space, permission_denied, io.
    DirectoryPointer require(const std::string& path);
    /// The same, but nothing is made. Null if it does not exist.
    DirectoryPointer find(const std::string& path);
    /// The caller has opened `path`, which will probably be needed.
    void remember(const std::string& path, Directory directory);

    /// A directory was removed with everything in it.
    void forget_tree(const std::string& resolved_path);
    /// A link was removed: paths may lead elsewhere now.
    void forget_links();

    ImpliedDirectories& implied() { return implied_; }

  private:
    struct Slot {
        std::string path;
        DirectoryPointer directory;
        std::uint64_t used_at = 0;
    };

    DirectoryPointer opened(const std::string& path);
    DirectoryPointer open(const std::string& path, std::string& resolved);
    FileDescriptor make(const std::string& resolved);
    FileDescriptor make_one(int parent, const std::string& name, const std::string& path);

    const Contained& tree_;
    std::array<Slot, 16> slots_;
    std::uint64_t uses_ = 0;
    ImpliedDirectories implied_;
};

}  // namespace prebake::layer
