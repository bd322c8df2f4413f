#include "agent/layer/contained.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>
#include <vector>

#include "agent/base/error.h"

namespace prebake::layer {
namespace {

/// A concurrent rename makes openat2(2) fail with EAGAIN. This many in a row are no coincidence.
constexpr int kOpenAttempts = 128;
/// containerd replaces as many.
constexpr int kMaxLinks = 255;

int open_by_kernel(int root, const std::string& path, int flags, LinksAmongDirectories links) {
    struct open_how how = {};
    how.flags = static_cast<unsigned>(flags) | O_NOFOLLOW | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    if (links == LinksAmongDirectories::refuse) how.resolve |= RESOLVE_NO_SYMLINKS;
    for (int attempt = 0;; ++attempt) {
        const long fd =
            ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
        if (fd >= 0) return static_cast<int>(fd);
        if (errno != EINTR && (errno != EAGAIN || attempt == kOpenAttempts)) return -1;
    }
}

std::optional<std::string> read_link(int directory, const std::string& name) {
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlinkat(directory, name.c_str(), target.data(), target.size());
    if (size < 0) return std::nullopt;
    return std::string(target.data(), static_cast<std::size_t>(size));
}

/// What open_by_kernel() does, one component at a time.
class Walk {
  public:
    Walk(int root, LinksAmongDirectories links) : root_(root), links_(links) {}

    int open(std::string_view path, int flags) {
        std::string rest(path);
        while (!rest.empty()) {
            std::string_view left = rest;
            const std::string name(take_component(left));
            const bool is_last = left.find_first_not_of('/') == std::string_view::npos;
            if (name.empty()) break;
            if (is_last && name != "." && name != "..") {
                return ::openat(here(), name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC);
            }
            std::string next(left);
            if (!enter(name, next)) return -1;
            rest = std::move(next);
        }
        return ::openat(here(), ".", flags | O_CLOEXEC);
    }

  private:
    int here() const { return directories_.empty() ? root_ : directories_.back().get(); }

    /// Goes into a directory; puts a link's target in front of `rest` instead.
    bool enter(const std::string& name, std::string& rest) {
        if (name == ".") return true;
        if (name == "..") {
            if (directories_.empty()) return fail(EXDEV);
            directories_.pop_back();
            return true;
        }
        FileDescriptor next(::openat(here(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
        struct stat status = {};
        if (!next || ::fstat(next.get(), &status) != 0) return false;
        if (S_ISDIR(status.st_mode)) {
            directories_.push_back(std::move(next));
            return true;
        }
        if (!S_ISLNK(status.st_mode)) return fail(ENOTDIR);
        if (links_ == LinksAmongDirectories::refuse) return fail(ELOOP);
        if (++followed_ > kMaxLinksOfKernel) return fail(ELOOP);
        const auto target = read_link(next.get(), "");
        if (!target) return false;
        if (target->starts_with('/')) return fail(EXDEV);
        rest.insert(0, *target + "/");
        return true;
    }

    static bool fail(int number) {
        errno = number;
        return false;
    }

    int root_;
    LinksAmongDirectories links_;
    std::vector<FileDescriptor> directories_;  // from below the root to where we are
    int followed_ = 0;
};

/// True if the contents of a layer cause this error, not the machine.
bool is_of_layer(int number) {
    switch (number) {
        case ENOENT:
        case ENOTDIR:
        case EISDIR:
        case EEXIST:
        case ELOOP:
        case ENAMETOOLONG:
        case EXDEV:
        case EINVAL:
        case ERANGE:
            return true;
        default:
            return false;
    }
}

/// Goes through `path` once, and replaces the links that are met. Their targets are not looked at.
std::string resolve_each_once(std::string_view path, int& links, const LinkAt& link_at) {
    std::string so_far;
    for (std::string_view name = take_component(path); !name.empty(); name = take_component(path)) {
        std::string here = clean_path(so_far + "/" + std::string(name));
        std::optional<std::string> target;
        if (!here.empty()) {
            if (links > kMaxLinks) {
                errno = ELOOP;
                throw entry_error("cannot resolve", path);
            }
            target = link_at(here);
        }
        if (!target) {
            so_far = std::move(here);
        } else {
            ++links;
            so_far = target->starts_with('/') ? *target : so_far + "/" + *target;
        }
    }
    return so_far;
}

}  // namespace

FileDescriptor Contained::open(const std::string& path, int flags,
                               LinksAmongDirectories links) const {
    if (opening_ == PathOpening::openat2_if_possible) {
        const int fd = open_by_kernel(root_, path, flags, links);
        // EPERM: seccomp filters that do not know the call say so.
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return FileDescriptor(fd);
    }
    return FileDescriptor(Walk(root_, links).open(path, flags));
}

/// The target if `path` is a link. Nothing for everything else, also for what does not exist.
std::optional<std::string> Contained::link_at(const std::string& path) const {
    const FileDescriptor fd = open(path, O_PATH, LinksAmongDirectories::follow);
    if (!fd && (errno == ENOENT || errno == EXDEV)) return std::nullopt;
    if (!fd) throw entry_error("cannot look at", path);
    return read_link(fd.get(), "");
}

std::string_view take_component(std::string_view& path) {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    const std::string_view component = path.substr(0, path.find('/'));
    path.remove_prefix(component.size());
    return component;
}

std::string Contained::resolve(std::string_view path) const {
    return resolve_links(path, [this](const std::string& at) { return link_at(at); });
}

std::string resolve_links(std::string_view path, const LinkAt& link_at) {
    int links = 0;
    for (std::string now(path);;) {
        const int before = links;
        now = resolve_each_once(now, links, link_at);
        if (links == before) return clean_path(now);
    }
}

std::string clean_path(std::string_view path) {
    std::string clean;
    clean.reserve(path.size());
    for (std::string_view name = take_component(path); !name.empty(); name = take_component(path)) {
        if (name == ".") continue;
        if (name == "..") {
            const std::size_t slash = clean.rfind('/');
            clean.resize(slash == std::string::npos ? 0 : slash);
            continue;
        }
        if (!clean.empty()) clean += '/';
        clean += name;
    }
    return clean;
}

Error entry_error(std::string_view what, std::string_view path) {
    const int number = errno;
    const Error error = errno_error(what, path);
    return is_of_layer(number) ? Error(Errc::corrupt, error.message()) : error;
}

}  // namespace prebake::layer
