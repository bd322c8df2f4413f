#include "agent/layer/removal.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::layer {
namespace {

Error cannot_remove(const std::string& path) {
    const int number = errno;
    Error error = errno_error("cannot remove", path);
    if (number != EBUSY) return error;
    return Error(Errc::failed_precondition, error.message(), "unmount what is mounted there");
}

/// Removes one tree from its leaves to its root, with one directory open at a time.
class TreeRemoval {
  public:
    TreeRemoval(int directory, const std::string& name, const std::string& path)
        : path_(path), here_(open_in(directory, name)) {}

    /// Empties the directory.
    void run() {
        while (here_) {
            const auto child = remove_what_can_be();
            if (child) {
                descend(*child);
            } else if (above_.empty()) {
                return;
            } else {
                ascend();
            }
        }
    }

  private:
    struct Parent {
        dev_t device;
        ino_t inode;
        std::string child;  // the name of where we are in it
    };

    /// Without a value if it was removed or replaced meanwhile.
    FileDescriptor open_in(int directory, const std::string& name) const {
        FileDescriptor fd(
            ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!fd && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
            throw cannot_remove(path_);
        }
        return fd;
    }

    struct stat status_of(const FileDescriptor& fd) const {
        struct stat status = {};
        if (::fstat(fd.get(), &status) != 0) throw cannot_remove(path_);
        return status;
    }

    /// Removes all files and empty directories here; returns the first directory that is not empty.
    std::optional<std::string> remove_what_can_be() {
        std::optional<std::string> full;
        for_each_name(here_.get(), path_, [&](const std::string& name) {
            if (::unlinkat(here_.get(), name.c_str(), 0) == 0 || errno == ENOENT) return true;
            if (errno != EISDIR) throw cannot_remove(path_ + "/" + name);
            if (::unlinkat(here_.get(), name.c_str(), AT_REMOVEDIR) == 0) return true;
            if (errno == ENOENT || errno == ENOTDIR) return true;
            if (errno != ENOTEMPTY && errno != EEXIST) throw cannot_remove(path_ + "/" + name);
            full = name;
            return false;
        });
        return full;
    }

    void descend(const std::string& name) {
        FileDescriptor child = open_in(here_.get(), name);
        if (!child) return;
        const struct stat status = status_of(here_);
        above_.push_back({status.st_dev, status.st_ino, name});
        here_ = std::move(child);
    }

    /// Somebody may have moved the directory: ".." must be where we came from.
    void ascend() {
        const Parent expected = std::move(above_.back());
        above_.pop_back();
        FileDescriptor parent = open_in(here_.get(), "..");
        if (!parent) throw cannot_remove(path_);
        const struct stat status = status_of(parent);
        if (status.st_dev != expected.device || status.st_ino != expected.inode) {
            throw Error(Errc::io, "cannot remove " + path_ + ": it was moved meanwhile");
        }
        if (::unlinkat(parent.get(), expected.child.c_str(), AT_REMOVEDIR) != 0 &&
            errno != ENOENT) {
            throw cannot_remove(path_ + "/" + expected.child);
        }
        here_ = std::move(parent);
    }

    const std::string& path_;
    FileDescriptor here_;
    std::vector<Parent> above_;
};

}  // namespace

void for_each_name(int directory, const std::string& path,
                   const std::function<bool(const std::string& name)>& visit) {
    // A new descriptor: closedir() closes it, and it has its own position.
    FileDescriptor own(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!own) throw errno_error("cannot read the directory", path);
    const std::unique_ptr<DIR, int (*)(DIR*)> names(::fdopendir(own.get()), ::closedir);
    if (!names) throw errno_error("cannot read the directory", path);
    own.release();
    for (;;) {
        errno = 0;
        const dirent* entry = ::readdir(names.get());
        if (entry == nullptr && errno != 0) throw errno_error("cannot read the directory", path);
        if (entry == nullptr) return;
        const std::string name = entry->d_name;
        if (name != "." && name != ".." && !visit(name)) return;
    }
}

void remove_tree(int directory, const std::string& name, const std::string& path) {
    if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return;
    if (errno != EISDIR) throw cannot_remove(path);
    if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    if (errno != ENOTEMPTY && errno != EEXIST) throw cannot_remove(path);
    TreeRemoval(directory, name, path).run();
    if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
        throw cannot_remove(path);
    }
}

}  // namespace prebake::layer
