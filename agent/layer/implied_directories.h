#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "agent/layer/contained.h"
#include "agent/layer/lower_directory.h"
#include "agent/layer/tar_entry.h"

namespace prebake::layer {

/// Directories that were made because an entry needed them, and that no entry describes. containerd
/// gives them owner, mode, times and xattrs of the same directory in the nearest lower layer while
/// it makes them. Here lower layers may be written later than this one, so it is a second step.
///
/// Paths are resolved ones (no component is a link).
class ImpliedDirectories {
  public:
    /// `fd` is the new directory. @throws Error if its time cannot be set.
    void add(const std::string& path, int fd);
    /// An entry describes the directory after all.
    void is_described(const std::string& path, const TarEntry& entry);
    /// An entry that does not say its group was put into a directory.
    void has_inheriting_entry(const std::string& directory);
    /// `path` was removed, with everything in it.
    void forget_tree(const std::string& path);

    /// The second step. `lowers` are open directories, the nearest first.
    /// @throws Error unsupported if what is in such a directory would have inherited from
    /// attributes that it got too late (a default ACL); corrupt, as containerd, if a lower layer
    /// has something else than a directory above that path; io.
    void copy_attributes(const Contained& tree, std::span<const int> lowers) const;

  private:
    struct Implied {
        bool is_in_implied = false;  ///< when it was made, its parent was to get attributes, too
        bool is_described = false;   ///< mode, times and owner come from an entry
        bool keeps_owner = false;    ///< that entry did not say its owner
        bool keeps_group = false;
        bool has_inheriting_entry = false;
    };

    static void copy(const std::string& path, const Implied& implied, const LowerDirectory& source,
                     int directory);

    /// A parent comes before what is in it.
    std::map<std::string, Implied> implied_;
    /// Removed again. That a lower layer has something else above such a path is still an error.
    std::vector<std::string> gone_;
};

}  // namespace prebake::layer
