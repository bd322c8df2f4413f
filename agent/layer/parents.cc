#include "agent/layer/parents.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/base/error.h"

namespace prebake::layer {
namespace {

constexpr int kOpenDirectory = O_PATH | O_DIRECTORY;
constexpr mode_t kImpliedMode = 0755;

}  // namespace

/// From the directories that are open; null if it is not among them.
DirectoryPointer Parents::opened(const std::string& path) {
    for (Slot& slot : slots_) {
        if (!slot.directory || slot.path != path) continue;
        slot.used_at = ++uses_;
        return slot.directory;
    }
    return nullptr;
}

void Parents::remember(const std::string& path, Directory directory) {
    Slot& oldest = *std::ranges::min_element(slots_, {}, &Slot::used_at);
    oldest.path = path;
    oldest.directory = std::make_shared<const Directory>(std::move(directory));
    oldest.used_at = ++uses_;
}

/// Null if it does not exist; `resolved` is where it would be.
DirectoryPointer Parents::open(const std::string& path, std::string& resolved) {
    // Most paths have no links, and then the kernel finds the directory in one call.
    resolved = path;
    FileDescriptor fd = tree_.open(path, kOpenDirectory, LinksAmongDirectories::refuse);
    if (!fd && (errno == ELOOP || errno == ENOTDIR)) {
        resolved = tree_.resolve(path);
        fd = tree_.open(resolved, kOpenDirectory, LinksAmongDirectories::refuse);
    }
    if (!fd && errno == ENOENT) return nullptr;
    if (!fd) throw entry_error("cannot open the directory", path);
    remember(path, {resolved, std::move(fd)});
    return opened(path);
}

DirectoryPointer Parents::find(const std::string& path) {
    if (DirectoryPointer directory = opened(path)) return directory;
    std::string resolved;
    return open(path, resolved);
}

DirectoryPointer Parents::require(const std::string& path) {
    if (DirectoryPointer directory = opened(path)) return directory;
    std::string resolved;
    if (DirectoryPointer directory = open(path, resolved)) return directory;
    FileDescriptor made = make(resolved);
    remember(path, {std::move(resolved), std::move(made)});
    return opened(path);
}

/// Makes every directory of the path that is missing; returns the last one.
FileDescriptor Parents::make(const std::string& resolved) {
    FileDescriptor above;
    for (std::size_t end = 0; end != std::string::npos;) {
        const std::size_t begin = end == 0 ? 0 : end + 1;
        end = resolved.find('/', begin);
        const std::string name = resolved.substr(begin, end - begin);
        const int parent = above ? above.get() : tree_.root();
        FileDescriptor next(
            ::openat(parent, name.c_str(), kOpenDirectory | O_NOFOLLOW | O_CLOEXEC));
        if (!next && errno == ENOENT) next = make_one(parent, name, resolved.substr(0, end));
        if (!next) throw entry_error("cannot make the directory", resolved);
        above = std::move(next);
    }
    return above;
}

FileDescriptor Parents::make_one(int parent, const std::string& name, const std::string& path) {
    if (::mkdirat(parent, name.c_str(), kImpliedMode) != 0) {
        throw entry_error("cannot make the directory", path);
    }
    FileDescriptor fd(
        ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) throw entry_error("cannot open the directory", path);
    // Whatever the umask says.
    if (::fchmod(fd.get(), kImpliedMode) != 0) throw errno_error("cannot set the mode of", path);
    implied_.add(path, fd.get());
    return fd;
}

void Parents::forget_tree(const std::string& resolved_path) {
    implied_.forget_tree(resolved_path);
    forget_links();
}

void Parents::forget_links() {
    slots_ = {};
}

}  // namespace prebake::layer
