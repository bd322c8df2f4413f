#include "agent/layer/tree_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <functional>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/layer/file_attributes.h"
#include "agent/layer/removal.h"

namespace prebake::layer {
namespace {

/// A question for the free space takes far less than writing such a file.
constexpr std::int64_t kLargeFile = 16 << 20;

}  // namespace

TreeWriter::TreeWriter(int root, Whiteouts whiteouts, PathOpening opening)
    : tree_(root, opening), parents_(tree_), whiteouts_(whiteouts) {}

void TreeWriter::add(const TarEntry& entry, TarReader& contents) {
    path_ = path_of(entry);
    // The root is there already; what the layer says about it is ignored.
    if (path_.empty()) return;
    SplitPath split = split_path(path_);
    const Place place{parents_.require(split.directory), std::move(split.name)};
    const Whiteout whiteout = whiteout_of(path_, place.name);
    if (whiteout.kind != Whiteout::Kind::none) {
        add_whiteout(entry, *place.parent, whiteout);
        return;
    }
    if (static_cast<gid_t>(entry.gid) == static_cast<gid_t>(-1)) {
        parents_.implied().has_inheriting_entry(place.parent->path);
    }
    switch (entry.type) {
        case tar_type::kDirectory:
            add_directory(entry, place);
            break;
        case tar_type::kFile:
            add_file(entry, place, contents);
            break;
        case tar_type::kHardLink:
            add_hard_link(entry, place);
            break;
        case tar_type::kSymlink:
        case tar_type::kCharacterDevice:
        case tar_type::kBlockDevice:
        case tar_type::kFifo:
            add_node(entry, place);
            break;
        case tar_type::kGlobalHeader:
            // It makes no file, but containerd makes room for one. A name too long needs none.
            if (place.name.size() <= NAME_MAX) remove(*place.parent, place.name);
            break;
        default:
            throw Error(Errc::corrupt, "cannot write " + path_ + ": the tar has an entry of type " +
                                           std::to_string(static_cast<unsigned char>(entry.type)) +
                                           ", which is unknown");
    }
    if (whiteouts_ == Whiteouts::apply) {
        own_.push_back(std::hash<std::string>()(place.parent->path_of(place.name)));
    }
}

void TreeWriter::add_whiteout(const TarEntry& entry, const Directory& directory,
                              const Whiteout& whiteout) {
    if (whiteout.kind == Whiteout::Kind::directory_contents) {
        hide_lower_layers(directory);
        return;
    }
    const std::string& hidden = whiteout.name;
    if (whiteouts_ == Whiteouts::apply) {
        remove(directory, hidden);
        return;
    }
    const int parent = directory.fd.get();
    // Nothing is removed for it: a layer that has both, the file and its whiteout, is an error.
    if (::mknodat(parent, hidden.c_str(), S_IFCHR, 0) != 0) {
        throw entry_error("cannot make the whiteout", path_);
    }
    if (::fchownat(parent, hidden.c_str(), static_cast<uid_t>(entry.uid),
                   static_cast<gid_t>(entry.gid), AT_SYMLINK_NOFOLLOW) != 0) {
        throw entry_error("cannot set the owner of the whiteout", path_);
    }
}

void TreeWriter::hide_lower_layers(const Directory& directory) {
    if (whiteouts_ == Whiteouts::apply) {
        remove_all_but_own(directory);
        return;
    }
    if (::setxattr(path_of_descriptor(directory.fd.get()).c_str(), kOpaqueXattr, "y", 1, 0) != 0) {
        throw entry_error("cannot make opaque", directory.path);
    }
}

/// Directories of this layer stay, but what they have from lower layers goes, too.
void TreeWriter::remove_all_but_own(const Directory& directory) {
    std::vector<std::string> to_clear = {directory.path};
    while (!to_clear.empty()) {
        const std::string path = std::move(to_clear.back());
        to_clear.pop_back();
        const Directory here{
            path, tree_.open(path, O_RDONLY | O_DIRECTORY, LinksAmongDirectories::refuse)};
        if (!here.fd) throw entry_error("cannot open", path);
        for_each_name(here.fd.get(), path, [&](const std::string& name) {
            if (!is_own(here.path_of(name))) {
                remove(here, name);
                return true;
            }
            struct stat status = {};
            if (::fstatat(here.fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                S_ISDIR(status.st_mode)) {
                to_clear.push_back(here.path_of(name));
            }
            return true;
        });
    }
}

bool TreeWriter::is_own(const std::string& resolved_path) {
    if (own_sorted_ < own_.size()) {
        const auto new_ones = own_.begin() + static_cast<std::ptrdiff_t>(own_sorted_);
        std::sort(new_ones, own_.end());
        std::inplace_merge(own_.begin(), new_ones, own_.end());
        own_sorted_ = own_.size();
    }
    return std::ranges::binary_search(own_, std::hash<std::string>()(resolved_path));
}

/// Removes what is there, whatever it is.
void TreeWriter::remove(const Directory& directory, const std::string& name) {
    struct stat status = {};
    if (::fstatat(directory.fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return;
        throw entry_error("cannot look at", path_);
    }
    const std::string path = directory.path_of(name);
    remove_tree(directory.fd.get(), name, path);
    if (S_ISDIR(status.st_mode)) parents_.forget_tree(path);
    if (S_ISLNK(status.st_mode)) parents_.forget_links();
    has_replaced_ = has_replaced_ || S_ISDIR(status.st_mode) || S_ISLNK(status.st_mode);
}

/// Calls `make`, which returns what the system call returned; if something has the name already, it
/// is removed first. Most names are new: then this is one call.
template <typename Make>
int TreeWriter::make_in_place(const Place& place, Make make) {
    int result = make();
    if (result < 0 && errno == EEXIST) {
        remove(*place.parent, place.name);
        result = make();
    }
    if (result < 0) throw entry_error("cannot write", path_);
    return result;
}

void TreeWriter::add_directory(const TarEntry& entry, const Place& place) {
    const int parent = place.parent->fd.get();
    const std::string& name = place.name;
    std::string resolved = place.parent->path_of(name);
    // Of a directory that is there already, only the attributes are replaced.
    bool exists = false;
    make_in_place(place, [&] {
        const int made = ::mkdirat(parent, name.c_str(), permissions_of(entry));
        if (made == 0 || errno != EEXIST) return made;
        struct stat status = {};
        exists = ::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                 S_ISDIR(status.st_mode);
        errno = EEXIST;
        return exists ? 0 : made;
    });
    if (exists) parents_.implied().is_described(resolved, entry);
    FileDescriptor fd(
        ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) throw entry_error("cannot open the directory", path_);
    set_owner_xattrs_mode(fd.get(), entry, path_);
    // And again at the end. By then the path may lead to another directory, and this one keeps
    // what it gets now.
    const auto times = times_of(entry);
    if (::futimens(fd.get(), times.data()) != 0)
        throw entry_error("cannot set the times of", path_);
    directory_times_.push_back({nanoseconds_of(times[0]), nanoseconds_of(times[1])});
    directory_paths_.append(path_).push_back('\0');
    parents_.remember(path_, {std::move(resolved), std::move(fd)});
}

void TreeWriter::add_file(const TarEntry& entry, const Place& place, TarReader& contents) {
    const FileDescriptor file(make_in_place(place, [&] {
        return ::openat(place.parent->fd.get(), place.name.c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                        permissions_of(entry));
    }));
    write_contents(entry, file.get(), contents);
    set_owner_xattrs_mode(file.get(), entry, path_);
    const auto times = times_of(entry);
    if (::futimens(file.get(), times.data()) != 0) {
        throw entry_error("cannot set the times of", path_);
    }
}

void TreeWriter::write_contents(const TarEntry& entry, int file, TarReader& contents) {
    // A few bytes of a layer may stand for any number of bytes in its files: nobody is to find out
    // by a full disk.
    if (entry.is_sparse || entry.size >= kLargeFile) require_space(file, entry, path_);
    if (entry.is_sparse) {
        // Holes stay holes; containerd writes their zeros.
        if (::ftruncate(file, entry.size) != 0) throw entry_error("cannot enlarge", path_);
    }
    for (;;) {
        const Extent extent = contents.next_extent();
        if (extent.bytes.empty()) return;
        write_at(file, extent, path_);
    }
}

void TreeWriter::add_node(const TarEntry& entry, const Place& place) {
    const int parent = place.parent->fd.get();
    make_in_place(place, [&] {
        if (entry.type == tar_type::kSymlink) {
            return ::symlinkat(entry.link.c_str(), parent, place.name.c_str());
        }
        return ::mknodat(parent, place.name.c_str(), node_mode(entry), device_number(entry));
    });
    set_attributes_by_name(entry, place);
}

void TreeWriter::add_hard_link(const TarEntry& entry, const Place& place) {
    make_in_place(place, [&] { return link_to_target(entry.link, place); });
    set_attributes_by_name(entry, place);
}

/// Links to what `link` names in this tree; lower layers do not count.
int TreeWriter::link_to_target(const std::string& link, const Place& place) {
    const SplitPath target =
        link_target(link, [this](const std::string& path) { return tree_.resolve(path); });
    const DirectoryPointer parent = parents_.find(target.directory);
    if (!parent) {
        errno = ENOENT;
        return -1;
    }
    return ::linkat(parent->fd.get(), target.name.c_str(), place.parent->fd.get(),
                    place.name.c_str(), 0);
}

void TreeWriter::set_attributes_by_name(const TarEntry& entry, const Place& place) const {
    const int parent = place.parent->fd.get();
    const char* name = place.name.c_str();
    if (::fchownat(parent, name, static_cast<uid_t>(entry.uid), static_cast<gid_t>(entry.gid),
                   AT_SYMLINK_NOFOLLOW) != 0) {
        throw entry_error("cannot set the owner of", path_);
    }
    set_xattrs_and_mode_by_name(parent, place.name, entry, path_);
    const auto times = times_of(entry);
    if (::utimensat(parent, name, times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
        throw entry_error("cannot set the times of", path_);
    }
}

void TreeWriter::finish(std::span<const int> lowers) {
    parents_.implied().copy_attributes(tree_, lowers);
    std::string_view paths = directory_paths_;
    for (const DirectoryTimes& times : directory_times_) {
        const std::size_t end = paths.find('\0');
        set_directory_times(std::string(paths.substr(0, end)), times);
        paths.remove_prefix(end + 1);
    }
}

/// Of whatever has the path now: it may have been replaced since, and a link is followed. A path
/// that leads nowhere any more is an error, as for containerd.
void TreeWriter::set_directory_times(const std::string& path, const DirectoryTimes& times) {
    const std::string now = has_replaced_ ? tree_.resolve(path) : path;
    const auto [directory, name] = split_path(now);
    const DirectoryPointer parent = parents_.find(directory);
    const timespec both[2] = {timespec_of(times.accessed_at), timespec_of(times.modified_at)};
    if (!parent) errno = ENOENT;
    if (!parent || ::utimensat(parent->fd.get(), name.empty() ? "." : name.c_str(), both,
                               AT_SYMLINK_NOFOLLOW) != 0) {
        throw entry_error("cannot set the times of the directory", path);
    }
}

}  // namespace prebake::layer
