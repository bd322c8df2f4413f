#include "agent/hydrate/merged_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::hydrate {
namespace {

/// The same directory in several layers, the uppermost first.
using Level = std::vector<FileDescriptor>;

/// What is at a path: a directory has a level; something else a status, and a descriptor of the
/// directory that has it.
struct Place {
    Level level;
    FileDescriptor parent;
    struct stat status = {};
    bool is_there() const { return !level.empty() || parent; }
};

bool is_whiteout(const struct stat& status) {
    return S_ISCHR(status.st_mode) && status.st_rdev == ::makedev(0, 0);
}

bool is_opaque(int directory) {
    char value = 0;
    return ::fgetxattr(directory, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

Place look_up(const Level& level, const std::string& name) {
    Place place;
    for (const FileDescriptor& directory : level) {
        struct stat status = {};
        if (::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) continue;
            throw errno_error("cannot look at", name);
        }
        if (!S_ISDIR(status.st_mode)) {
            // Below a directory of an upper layer it is hidden.
            if (!place.level.empty() || is_whiteout(status)) break;
            place.status = status;
            place.parent = FileDescriptor(::openat(directory.get(), ".", O_PATH | O_CLOEXEC));
            if (!place.parent) throw errno_error("cannot open the directory of", name);
            break;
        }
        FileDescriptor below(::openat(directory.get(), name.c_str(),
                                      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!below) throw errno_error("cannot open", name);
        const bool hides_lower = is_opaque(below.get());
        place.level.push_back(std::move(below));
        if (hides_lower) break;
    }
    return place;
}

Level top_of(const std::vector<std::filesystem::path>& layers) {
    Level level;
    for (const std::filesystem::path& layer : layers) level.push_back(open_directory(layer));
    return level;
}

std::string target_of(const Place& link, const std::string& name) {
    std::array<char, 4096> target;
    const ssize_t length =
        ::readlinkat(link.parent.get(), name.c_str(), target.data(), target.size());
    if (length < 0) throw errno_error("cannot read the link", name);
    return {target.data(), static_cast<std::size_t>(length)};
}

std::deque<std::string> parts_of(std::string_view path) {
    std::deque<std::string> parts;
    while (!path.empty()) {
        const std::string_view part = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(path.size(), part.size() + 1));
        if (!part.empty() && part != ".") parts.emplace_back(part);
    }
    return parts;
}

}  // namespace

std::optional<std::string> read_merged_file(const std::vector<std::filesystem::path>& layers,
                                            const std::string& path, std::size_t limit) {
    constexpr int kMostLinks = 40;  // as in Linux
    std::deque<std::string> rest = parts_of(path);
    std::vector<Level> levels;  // of the directories on the way, the root first
    levels.push_back(top_of(layers));
    for (int links = 0; !rest.empty();) {
        const std::string name = std::move(rest.front());
        rest.pop_front();
        if (name == "..") {
            if (levels.size() > 1) levels.pop_back();
            continue;
        }
        Place place = look_up(levels.back(), name);
        if (!place.is_there()) return std::nullopt;
        if (!place.level.empty()) {
            levels.push_back(std::move(place.level));
        } else if (S_ISLNK(place.status.st_mode)) {
            if (++links > kMostLinks) return std::nullopt;
            const std::string target = target_of(place, name);
            if (target.starts_with('/')) levels.resize(1);
            const std::deque<std::string> parts = parts_of(target);
            rest.insert(rest.begin(), parts.begin(), parts.end());
        } else {
            if (!rest.empty() || !S_ISREG(place.status.st_mode)) return std::nullopt;
            const FileDescriptor file(::openat(place.parent.get(), name.c_str(),
                                               O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
            if (!file) throw errno_error("cannot open", name);
            return read_descriptor(file.get(), path, limit);
        }
    }
    return std::nullopt;
}

}  // namespace prebake::hydrate
