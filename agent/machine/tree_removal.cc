#include "agent/machine/tree_removal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/machine/file_calls.h"

namespace prebake::machine {
namespace {

/// What could not be removed: the first failure and the number of all. A mount comes before other
/// failures, because only the operator can unmount it.
class Failures {
  public:
    void add(Error error) {
        ++count_;
        const bool is_mount = error.code() == Errc::failed_precondition;
        if (!first_ || (is_mount && first_->code() != Errc::failed_precondition))
            first_ = std::move(error);
    }
    void throw_if_any() const {
        if (!first_) return;
        if (count_ == 1) throw Error(*first_);
        throw Error(first_->code(),
                    first_->message() + " (and " + std::to_string(count_ - 1) + " more)",
                    first_->next_step());
    }

  private:
    std::optional<Error> first_;
    std::size_t count_ = 0;
};

Error mounted(const std::string& path) {
    return Error(Errc::failed_precondition,
                 "cannot remove " + path + ": something is mounted there",
                 "unmount it, then seal again");
}

/// The error for a file that unlinkat(2) did not remove, by `errno`.
Error not_removed(int directory, const std::string& name, const std::string& path) {
    const int number = errno;
    if (number == EBUSY) {
        const std::optional<FileStatus> status = status_at(directory, name, path);
        if (status && status->info.is_mount) return mounted(path);
    }
    errno = number;
    return file_error("cannot remove", path);
}

/// A directory between the top and the current one. Only the current one is open. The way up is
/// "..", and `id` shows that the tree was not moved in the meantime.
struct Level {
    std::string name;
    FileId id;
    bool emptied = true;                   ///< everything in it could be removed
    std::vector<std::string> directories;  ///< subdirectories that are not removed yet
};

class TreeRemoval {
  public:
    TreeRemoval(int directory, const std::string& name, std::string path)
        : directory_(directory), name_(name), path_(std::move(path)) {}

    void run() {
        if (remove_at(directory_, name_, "") != Outcome::has_contents) return finish();
        if (!enter(directory_, name_)) return finish();
        while (!levels_.empty()) {
            Level& level = levels_.back();
            if (level.directories.empty()) {
                leave();
                continue;
            }
            const std::string next = std::move(level.directories.back());
            level.directories.pop_back();
            path_ += '/' + next;
            if (!enter(lowest_.get(), next)) {
                levels_.back().emptied = false;
                path_.resize(path_.rfind('/'));
            }
        }
        finish();
    }

  private:
    enum class Outcome { removed, has_contents, refused };

    void finish() const { failures_.throw_if_any(); }

    /// `below` completes path_ to the path of `name`.
    Outcome remove_at(int directory, const std::string& name, const std::string& below) {
        if (::unlinkat(directory, name.c_str(), 0) == 0) return Outcome::removed;
        if (errno == EISDIR) {
            if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) == 0) return Outcome::removed;
            if (errno == ENOTEMPTY || errno == EEXIST) return Outcome::has_contents;
        }
        if (errno == ENOENT) return Outcome::removed;
        failures_.add(not_removed(directory, name, path_ + below));
        return Outcome::refused;
    }

    /// Enters a directory and removes everything in it except directories.
    bool enter(int parent, const std::string& name) {
        FileDescriptor fd(
            ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!fd) {
            failures_.add(file_error("cannot open the directory", path_));
            return false;
        }
        const std::optional<FileStatus> status = status_at(fd.get(), "", path_);
        if (!status || status->info.is_mount) {
            failures_.add(mounted(path_));
            return false;
        }
        Level level{.name = name, .id = status->id, .emptied = true, .directories = {}};
        try {
            for_each_name(fd.get(), path_, [&](const std::string& entry) {
                const Outcome outcome = remove_at(fd.get(), entry, '/' + entry);
                if (outcome == Outcome::has_contents) level.directories.push_back(entry);
                if (outcome == Outcome::refused) level.emptied = false;
            });
        } catch (const Error& error) {
            failures_.add(error);
            level.emptied = false;
        }
        lowest_ = std::move(fd);
        levels_.push_back(std::move(level));
        return true;
    }

    /// Returns to the parent and removes the directory, which is empty now.
    void leave() {
        const Level done = std::move(levels_.back());
        levels_.pop_back();
        int parent = directory_;
        if (!levels_.empty()) {
            FileDescriptor up(
                ::openat(lowest_.get(), "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
            const std::optional<FileStatus> status =
                up ? status_at(up.get(), "", path_) : std::nullopt;
            if (!status || !(status->id == levels_.back().id)) {
                failures_.add(
                    Error(Errc::io,
                          "cannot remove " + path_ + ": it was moved while it was being removed",
                          "stop what moves it, then seal again"));
                levels_.clear();
                return;
            }
            lowest_ = std::move(up);
            parent = lowest_.get();
        }
        bool is_gone = false;
        if (done.emptied) {
            is_gone = ::unlinkat(parent, done.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT;
            if (!is_gone) failures_.add(not_removed(parent, done.name, path_));
        }
        path_.resize(path_.rfind('/'));
        if (!is_gone && !levels_.empty()) levels_.back().emptied = false;
    }

    int directory_;
    std::string name_;
    std::string path_;  // the current directory
    FileDescriptor lowest_;
    std::vector<Level> levels_;
    Failures failures_;
};

}  // namespace

void remove_tree(int directory, const std::string& name, const std::string& path) {
    TreeRemoval(directory, name, path).run();
}

}  // namespace prebake::machine
