#pragma once

#include <cstdint>
#include <vector>

#include "agent/layer/disk_file.h"
#include "agent/layer/file_facts.h"
#include "agent/layer/key_table.h"

namespace prebake::layer {

/// Which paths of a layer are names of one file. Paths are the keys of PathKeys.
class LinkGroups {
  public:
    /// A file that has, or once had, several names.
    struct File {
        FileAttributes attributes;  ///< those that the last entry of any of its names says
        std::uint64_t inode = 0;    ///< on the disk, once check() has seen a name
        bool is_compared = false;   ///< its attributes were
        bool is_timed = false;      ///< a directory's entry sets its time, by one of its names
    };

    /// Null if the path has no other names. Valid until the next link().
    File* file_of(std::uint64_t key);
    /// `key` is another name of the file that `target` names.
    File& link(std::uint64_t key, std::uint64_t target);
    /// The path names another file now, or none.
    void forget(std::uint64_t key);

    /// Once for each path of the tree, at the end: whether it is one file with those that it should
    /// be one with, and with no others. Empty if so.
    Differing check(std::uint64_t key, const DiskFile& found);

  private:
    static constexpr std::uint32_t kNone = 0;
    static constexpr std::uint32_t kAlone = UINT32_MAX;

    KeyTable<std::uint32_t> names_;  // to the place in files_, from 1 on
    std::vector<File> files_;
    KeyTable<std::uint32_t> inodes_;  // the same, of what was checked
};

}  // namespace prebake::layer
