#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "agent/layer/tar_entry.h"

/// What the names in a layer mean, by containerd's rules. Pure.
namespace prebake::layer {

/// The clean path of an entry; empty for the root, which layers do not change.
/// @throws Error corrupt if no file can have that path.
std::string path_of(const TarEntry& entry);

/// A clean path, split.
struct SplitPath {
    std::string directory;  ///< empty: the root
    std::string name;
};
SplitPath split_path(const std::string& path);

/// "directory/name"; the directory may be the root ("").
std::string joined_path(const std::string& directory, const std::string& name);

/// Whether an entry hides something of lower layers instead of adding a file.
struct Whiteout {
    enum class Kind { none, file, directory_contents };
    Kind kind = Kind::none;
    std::string name = {};  ///< that it hides, in its own directory
};
/// `path` is the clean path of the entry, `name` its last part.
/// @throws Error corrupt if it is a whiteout of nothing.
Whiteout whiteout_of(const std::string& path, const std::string& name);

/// What a hard link links to. A link in the last place is meant itself, unless a slash follows it:
/// then what it leads to. `resolve` is Contained::resolve() of the tree.
/// @throws Error corrupt if it can only be a directory.
SplitPath link_target(const std::string& link,
                      const std::function<std::string(const std::string& path)>& resolve);

}  // namespace prebake::layer
