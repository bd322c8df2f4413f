#include "agent/base/file_trust.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/text.h"

namespace prebake {
namespace {

/// The kernel follows as many links, path_resolution(7).
constexpr int kMaxLinks = 40;
/// Of passwd and group.
constexpr std::size_t kMaxAccountBytes = 16UL << 20;

Ownership ownership_of(const struct stat& status) {
    return {status.st_uid, status.st_gid, status.st_mode & 07777, S_ISDIR(status.st_mode)};
}

std::optional<unsigned> number_in(std::string_view text) {
    unsigned number = 0;
    const auto [rest, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc() || rest != text.data() + text.size()) return std::nullopt;
    return number;
}

/// Empty if it cannot be read.
std::string accounts_in(const char* file) {
    try {
        return read_file(file, kMaxAccountBytes);
    } catch (const Error&) {
        return {};
    }
}

/// True if nobody but the user is in the group: it is the user's own in /etc/passwd and nobody
/// else's, and /etc/group adds nobody. Accounts that are not in these files are not known.
bool is_private_group(gid_t gid, uid_t uid) {
    std::string user;
    const std::string passwd = accounts_in("/etc/passwd");
    for (const std::string_view line : lines_of(passwd)) {  // passwd(5)
        if (number_in(field_of(line, 3)) != gid) continue;
        if (number_in(field_of(line, 2)) != uid) return false;
        user = field_of(line, 0);
    }
    const std::string group = accounts_in("/etc/group");
    const std::vector<std::string_view> lines = lines_of(group);
    return !user.empty() && std::none_of(lines.begin(), lines.end(), [&](std::string_view line) {
        const std::string_view members = field_of(line, 3);  // group(5)
        return number_in(field_of(line, 2)) == gid && !members.empty() && members != user;
    });
}

/// The user who ran sudo; nobody without it.
std::optional<uid_t> invoker() {
    const char* text = ::geteuid() == 0 ? std::getenv("SUDO_UID") : nullptr;
    return text == nullptr ? std::nullopt : std::optional<uid_t>(number_in(text));
}

class Trust {
  public:
    explicit Trust(WhoseFile whose) : trusted_{::geteuid()} {
        if (whose == WhoseFile::ours) return;
        users_ = true;
        if (const auto user = invoker()) trusted_.push_back(*user);
    }

    void require(const std::string& path, const struct stat& status) const {
        Ownership file = ownership_of(status);
        if (users_ && is_written_by_own_group(path, file)) file.mode &= ~mode_t{S_IWGRP};
        if (is_changed_only_by(trusted_, file)) return;
        const bool is_owned =
            file.uid == 0 || std::count(trusted_.begin(), trusted_.end(), file.uid);
        throw Error(Errc::untrusted,
                    path + " can be changed by other users: " + to_string(ownership_of(status)),
                    is_owned ? "run chmod go-w " + path
                             : "run chown root " + path + " if what it says is right");
    }
    void require_link(const std::string& path, const struct stat& status) const {
        if (status.st_uid == 0 || std::count(trusted_.begin(), trusted_.end(), status.st_uid) != 0)
            return;
        throw Error(Errc::untrusted,
                    path + " is a link of another user: owner " + std::to_string(status.st_uid),
                    "name the file that it leads to");
    }

  private:
    static bool is_written_by_own_group(const std::string& path, const Ownership& file) {
        if (file.uid == 0 || (file.mode & S_IWGRP) == 0) return false;
        const bool has_acl = ::lgetxattr(path.c_str(), "system.posix_acl_access", nullptr, 0) > 0;
        return !has_acl && is_private_group(file.gid, file.uid);
    }

    std::vector<uid_t> trusted_;
    bool users_ = false;
};

struct stat status_of(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) throw errno_error("cannot look at", path);
    return status;
}

/// The real path, if everything on the way is trusted. It goes down from the root: what was
/// verified cannot be replaced by others, so it is still there when the next name is looked up.
std::string verified_path(const std::filesystem::path& path, const Trust& trust) {
    std::vector<std::string> ahead;  // the next component at the back
    const auto push = [&ahead](const std::filesystem::path& way) {
        const std::filesystem::path relative = way.relative_path();
        std::vector<std::string> components(relative.begin(), relative.end());
        ahead.insert(ahead.end(), components.rbegin(), components.rend());
    };
    push(std::filesystem::absolute(path));
    std::string real;
    trust.require("/", status_of("/"));
    int links = 0;
    while (!ahead.empty()) {
        const std::string component = std::move(ahead.back());
        ahead.pop_back();
        if (component.empty() || component == ".") continue;
        if (component == "..") {
            real.resize(real.empty() ? 0 : real.rfind('/'));
            continue;
        }
        const std::string here = real + "/" + component;
        const struct stat status = status_of(here);
        if (!S_ISLNK(status.st_mode)) {
            trust.require(here, status);
            real = here;
            continue;
        }
        trust.require_link(here, status);
        std::array<char, PATH_MAX> target;
        const ssize_t size = ::readlink(here.c_str(), target.data(), target.size());
        if (size < 0) throw errno_error("cannot read the link", here);
        if (++links > kMaxLinks) {
            errno = ELOOP;
            throw errno_error("cannot open", path);
        }
        const std::filesystem::path meant(
            std::string(target.data(), static_cast<std::size_t>(size)));
        if (meant.is_absolute()) real.clear();
        push(meant);
    }
    return real.empty() ? "/" : real;
}

}  // namespace

bool is_changed_only_by(const std::vector<uid_t>& trusted, const Ownership& file) {
    const bool is_owned =
        file.uid == 0 || std::count(trusted.begin(), trusted.end(), file.uid) != 0;
    const bool is_sticky = file.is_directory && (file.mode & S_ISVTX) != 0;
    return is_owned && (is_sticky || (file.mode & (S_IWGRP | S_IWOTH)) == 0);
}

std::string to_string(const Ownership& file) {
    std::array<char, 16> mode;
    std::snprintf(mode.data(), mode.size(), "%04o", static_cast<unsigned>(file.mode));
    return "owner " + std::to_string(file.uid) + ", group " + std::to_string(file.gid) + ", mode " +
           mode.data();
}

std::string read_trusted_file(const std::filesystem::path& path, std::size_t limit,
                              WhoseFile whose) {
    const Trust trust(whose);
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC));
    if (!file) throw errno_error("cannot open", path);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw errno_error("cannot look at", path);
    if (S_ISREG(status.st_mode) && status.st_nlink > 0) {
        const std::string real = verified_path(path, trust);
        const struct stat verified = status_of(real);
        if (verified.st_dev != status.st_dev || verified.st_ino != status.st_ino) {
            throw Error(Errc::io, path.string() + " was replaced while it was read", "try again");
        }
    } else if (S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode)) {
        // What a shell passes as an open file: a pipe, or a here-document without a name.
        trust.require(path, status);
    }
    return read_descriptor(file.get(), path, limit);
}

}  // namespace prebake
