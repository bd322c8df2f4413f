#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/file.h"

namespace prebake::layer {

/// The kernel follows as many links, path_resolution(7).
inline constexpr int kMaxLinksOfKernel = 40;

/// How a path is opened. Kernels before 5.6 and some sandboxes have no openat2(2); walking does the
/// same component by component, and is slower.
enum class PathOpening { openat2_if_possible, walk };

/// What happens at a symbolic link among the directories of a path.
enum class LinksAmongDirectories {
    refuse,  ///< ELOOP
    follow,  ///< as the kernel does; an absolute one, or one that leaves the tree, is EXDEV
};

/// Opens and resolves paths below one directory. Nothing here leaves that directory, whatever the
/// paths say and whatever others change in it meanwhile.
class Contained {
  public:
    /// `root` is an open directory; the caller keeps it open.
    explicit Contained(int root, PathOpening opening = PathOpening::openat2_if_possible)
        : root_(root), opening_(opening) {}

    int root() const { return root_; }

    /// Opens `path` ("" is the root itself). The last component is not followed. Without a value if
    /// it fails; errno says why.
    FileDescriptor open(const std::string& path, int flags, LinksAmongDirectories links) const;

    /// Replaces every symbolic link in `path`, the last one too, as containerd does
    /// (fs.RootPath of containerd's continuity): within the tree, ".." by text and not by
    /// directory; a component that does not exist counts as a directory. Returns a clean path
    /// without a slash at its start; "" is the root.
    ///
    /// One thing differs: while containerd looks at a component, an absolute link before it leads
    /// to the host's directories. Here it counts as missing until it is replaced.
    /// @throws Error corrupt (not a directory, a loop, a name that is too long), io.
    std::string resolve(std::string_view path) const;

  private:
    std::optional<std::string> link_at(const std::string& path) const;

    int root_;
    PathOpening opening_;
};

/// The first component of `path`, which is removed from it with its slashes. Empty at the end.
std::string_view take_component(std::string_view& path);

/// The target of the link that has this clean path; nothing for everything else. Links among the
/// directories of the path are followed.
using LinkAt = std::function<std::optional<std::string>(const std::string& path)>;

/// Contained::resolve(), in a tree whose links `link_at` knows.
std::string resolve_links(std::string_view path, const LinkAt& link_at);

/// A path as Go's filepath.Clean leaves it, taken as one below a root: without empty components,
/// "." and "..", and without a slash at either end. "" is the root.
std::string clean_path(std::string_view path);

/// An Error about the entry `path` of a layer, for the current `errno`: corrupt if the layer's own
/// contents are the reason (a name too long, a link without its target), else as errno_error().
Error entry_error(std::string_view what, std::string_view path);

}  // namespace prebake::layer
