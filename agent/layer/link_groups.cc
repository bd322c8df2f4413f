#include "agent/layer/link_groups.h"

#include <sys/stat.h>

namespace prebake::layer {

LinkGroups::File* LinkGroups::file_of(std::uint64_t key) {
    const std::uint32_t* place = names_.find(key);
    return place == nullptr || *place == kNone ? nullptr : &files_[*place - 1];
}

LinkGroups::File& LinkGroups::link(std::uint64_t key, std::uint64_t target) {
    std::uint32_t place = names_.at(target);
    if (place == kNone) {
        files_.emplace_back();
        place = static_cast<std::uint32_t>(files_.size());
        names_.at(target) = place;
    }
    names_.at(key) = place;
    return files_[place - 1];
}

void LinkGroups::forget(std::uint64_t key) {
    if (std::uint32_t* place = names_.find(key)) *place = kNone;
}

Differing LinkGroups::check(std::uint64_t key, const DiskFile& found) {
    Differing result;
    const struct stat& status = found.status();
    const std::uint32_t* place = names_.find(key);
    const std::uint32_t file = place == nullptr || *place == kNone ? kAlone : *place;
    if (file != kAlone) {
        std::uint64_t& inode = files_[file - 1].inode;
        if (inode == 0) inode = status.st_ino;
        if (inode != status.st_ino) {
            result.add("a hard link to its other names in the layer", "a file of its own");
        }
    }
    if (status.st_nlink < 2) return result;
    std::uint32_t& owner = inodes_.at(status.st_ino);
    const bool is_first = owner == kNone;
    if (is_first) owner = file;
    if (!is_first && (owner != file || file == kAlone)) {
        result.add("a file of its own", "a hard link to another file of the layer");
    }
    return result;
}

}  // namespace prebake::layer
