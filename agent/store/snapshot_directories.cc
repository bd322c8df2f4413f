#include "agent/store/snapshot_directories.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <system_error>
#include <utility>

namespace prebake::store {
namespace {

SnapshotDirectories blocked_by(std::string obstacle) {
    return {.upper = {}, .lowers = {}, .obstacle = std::move(obstacle)};
}

/// The value of "key=value"; empty if the option has another key.
std::string_view value_of(std::string_view option, std::string_view key) {
    const bool is_it =
        option.size() > key.size() && option.starts_with(key) && option[key.size()] == '=';
    return is_it ? option.substr(key.size() + 1) : std::string_view();
}

/// overlayfs separates the directories with colons; one in a name is escaped with a backslash.
std::vector<std::filesystem::path> lower_directories(std::string_view value) {
    std::vector<std::filesystem::path> found;
    std::string directory;
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (value[i] == '\\' && i + 1 < value.size()) {
            directory += value[++i];
        } else if (value[i] == ':') {
            found.emplace_back(std::exchange(directory, {}));
        } else {
            directory += value[i];
        }
    }
    found.emplace_back(directory);
    return found;
}

SnapshotDirectories bind_directory(const containerd::Mount& mount) {
    const auto& options = mount.options;
    if (std::find(options.begin(), options.end(), "ro") != options.end()) {
        return blocked_by("its mount is read-only");
    }
    return {.upper = mount.source, .lowers = {}, .obstacle = {}};
}

/// Options with which the files are other ones than those in the directories.
bool changes_files(const std::string& option) {
    return option == "userxattr" || option.starts_with("uidmap=") || option.starts_with("gidmap=");
}

SnapshotDirectories overlay_directories(const containerd::Mount& mount) {
    SnapshotDirectories found;
    for (const std::string& option : mount.options) {
        if (changes_files(option) || option == "ro") {
            return blocked_by("its mount has the option " + option);
        }
        if (const auto upper = value_of(option, "upperdir"); !upper.empty()) found.upper = upper;
        if (const auto lowers = value_of(option, "lowerdir"); !lowers.empty()) {
            found.lowers = lower_directories(lowers);
        }
    }
    if (found.upper.empty()) return blocked_by("its overlay mount has no upperdir");
    return found;
}

SnapshotDirectories only_mount_is_wrong(const std::vector<containerd::Mount>& mounts) {
    if (mounts.size() != 1) {
        return blocked_by("it is made of " + std::to_string(mounts.size()) + " mounts");
    }
    return blocked_by("it is a mount of the type " + mounts.front().type);
}

/// With an obstacle if a directory is not absolute. `upper` is "/" if there is none.
SnapshotDirectories checked(SnapshotDirectories found, const std::filesystem::path& upper) {
    const auto is_relative = [](const std::filesystem::path& path) { return !path.is_absolute(); };
    if (found.obstacle.empty() &&
        (is_relative(upper) ||
         std::any_of(found.lowers.begin(), found.lowers.end(), is_relative))) {
        return blocked_by("its mount names a relative directory");
    }
    return found;
}

/// With an obstacle if a directory is not visible from here.
SnapshotDirectories seen(SnapshotDirectories found) {
    if (!found.obstacle.empty()) return found;
    std::vector<std::filesystem::path> all = found.lowers;
    if (!found.upper.empty()) all.push_back(found.upper);
    for (const std::filesystem::path& directory : all) {
        std::error_code error;
        if (std::filesystem::is_directory(directory, error)) continue;
        found = blocked_by(directory.string() + " is not visible from here");
        found.is_hidden = true;
        return found;
    }
    return found;
}

bool is_mount_point(const std::filesystem::path& directory) {
    struct stat own = {};
    struct stat above = {};
    return ::stat(directory.c_str(), &own) != 0 ||
           ::stat((directory / "..").c_str(), &above) != 0 || own.st_dev != above.st_dev;
}

}  // namespace

SnapshotDirectories directories_of(const std::vector<containerd::Mount>& mounts) {
    const bool is_one = mounts.size() == 1;
    const bool is_bind = is_one && mounts.front().type == "bind";
    if (!is_bind && (!is_one || mounts.front().type != "overlay")) {
        return only_mount_is_wrong(mounts);
    }
    SnapshotDirectories found =
        is_bind ? bind_directory(mounts.front()) : overlay_directories(mounts.front());
    const std::filesystem::path upper = found.upper;
    return checked(std::move(found), upper);
}

SnapshotDirectories visible_directories_of(const std::vector<containerd::Mount>& mounts) {
    return seen(directories_of(mounts));
}

SnapshotDirectories viewed_directories_of(const std::vector<containerd::Mount>& mounts,
                                          std::size_t layers) {
    const bool is_one = mounts.size() == 1;
    SnapshotDirectories found;
    if (is_one && mounts.front().type == "bind") {
        found.lowers = {mounts.front().source};
    } else if (!is_one || mounts.front().type != "overlay") {
        return only_mount_is_wrong(mounts);
    }
    for (const std::string& option : mounts.front().options) {
        if (changes_files(option)) return blocked_by("its mount has the option " + option);
        if (mounts.front().type == "bind") continue;
        if (const auto lowers = value_of(option, "lowerdir"); !lowers.empty()) {
            found.lowers = lower_directories(lowers);
        }
    }
    if (found.lowers.size() != layers) {
        return blocked_by("it does not have one directory for each layer");
    }
    found = seen(checked(std::move(found), "/"));
    const auto mounted = std::find_if(found.lowers.begin(), found.lowers.end(), is_mount_point);
    if (mounted == found.lowers.end()) return found;
    return blocked_by(mounted->string() + " is a file system of its own");
}

}  // namespace prebake::store
