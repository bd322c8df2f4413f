#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>

#include "agent/base/file.h"
#include "agent/layer/file_facts.h"

namespace prebake::layer {

/// What a directory has under a name. Nothing is followed or changed, not even access times where
/// that can be avoided.
class DiskFile {
  public:
    /// `directory` is open, and stays so; or -1: there is nothing. @throws Error io.
    DiskFile(int directory, std::string name);

    mode_t kind() const { return status_.st_mode & S_IFMT; }  ///< 0: nothing is there
    const struct stat& status() const { return status_; }
    FileEssence essence() const;
    FileAttributes attributes() const;
    /// A regular file, for reading. Without a value if that fails; errno says why.
    FileDescriptor open() const;
    /// A value that is_compared_xattr(); ENOTSUP in `errno` if the file system does not have such
    /// attributes.
    std::optional<std::string> xattr(const std::string& name) const;
    /// True if what is made in its directory inherits an ACL.
    bool may_inherit_acl() const;

  private:
    std::string place() const;

    int directory_;
    std::string name_;
    struct stat status_ = {};
};

/// What was expected, and what is there instead.
struct Differing {
    std::string expected = {};
    std::string found = {};

    bool is_empty() const { return found.empty(); }
    /// ", " between several.
    void add(const std::string& expected_too, const std::string& found_too);
    void add(const Differing& other);
};

/// Without the contents of files of the same size.
Differing difference(const FileEssence& expected, const DiskFile& found);
Differing difference(const FileAttributes& expected, const DiskFile& found);

}  // namespace prebake::layer
