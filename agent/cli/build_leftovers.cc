#include "agent/cli/build_leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/freed.h"
#include "agent/identity/item.h"
#include "agent/identity/survey.h"
#include "agent/machine/root.h"

namespace prebake::cli {
namespace {

constexpr std::array<std::string_view, 2> kItems{"package-caches", "temporary-files"};
constexpr std::uint64_t kWorthALine = 1ULL << 20;
// A build directory with millions of files would hold up every bake.
constexpr std::size_t kMostFiles = 20'000;

bool is_in_memory(const std::filesystem::path& path) {
    struct statfs found {};
    return statfs(path.c_str(), &found) == 0 && found.f_type == TMPFS_MAGIC;
}

std::uint64_t bytes_on_disk(const struct stat& found) {
    return static_cast<std::uint64_t>(found.st_blocks) * 512;
}

using Directory = std::unique_ptr<DIR, Freed<closedir>>;

/// Null if it cannot be read.
Directory open_to_count(const std::filesystem::path& path) {
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    FileDescriptor opened = open_without_access_time(AT_FDCWD, path.c_str(), kFlags);
    Directory directory(opened ? fdopendir(opened.get()) : nullptr);
    if (directory) static_cast<void>(opened.release());
    return directory;
}

/// Of everything below on the same disk: what is mounted there is in no snapshot of it. `files` is
/// how many may still be looked at.
std::uint64_t bytes_below(const std::filesystem::path& path, std::size_t& files) {
    struct stat top {};
    if (lstat(path.c_str(), &top) != 0) return 0;
    std::uint64_t bytes = bytes_on_disk(top);
    if (!S_ISDIR(top.st_mode)) return bytes;
    std::vector<std::filesystem::path> to_visit{path};
    while (!to_visit.empty() && files > 0) {
        const std::filesystem::path next = std::move(to_visit.back());
        to_visit.pop_back();
        const Directory directory = open_to_count(next);
        if (!directory) continue;
        for (const dirent* entry = nullptr; files > 0 && (entry = readdir(directory.get()));) {
            const std::string_view name(entry->d_name);
            struct stat found {};
            if (name == "." || name == ".." ||
                fstatat(dirfd(directory.get()), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0 ||
                found.st_dev != top.st_dev) {
                continue;
            }
            --files;
            bytes += bytes_on_disk(found);
            if (S_ISDIR(found.st_mode)) to_visit.push_back(next / name);
        }
    }
    return bytes;
}

}  // namespace

std::vector<v1::BuildLeftovers> find_build_leftovers(const std::filesystem::path& root) {
    const machine::Root machine(root);
    std::vector<v1::BuildLeftovers> found;
    std::size_t files = kMostFiles;
    for (const identity::Item& item : identity::items()) {
        if (std::ranges::find(kItems, item.name) == kItems.end()) continue;
        v1::BuildLeftovers left;
        left.set_item(std::string(item.name));
        left.set_sealed(item.by_default == identity::Default::on);
        std::uint64_t most = 0;
        for (const identity::Change& change : identity::survey(machine, item, {}, {}).changes) {
            const std::filesystem::path path =
                root / std::filesystem::path(change.path).relative_path();
            if (is_in_memory(path.parent_path())) continue;
            const std::uint64_t bytes = bytes_below(path, files);
            left.set_bytes(left.bytes() + bytes);
            left.set_paths(left.paths() + 1);
            if (bytes < most) continue;
            most = bytes;
            left.set_largest(change.path);
        }
        left.set_at_least(files == 0);
        if (left.bytes() >= kWorthALine) found.push_back(std::move(left));
    }
    return found;
}

std::string describe(const v1::BuildLeftovers& left) {
    std::string text = left.item() + ": " + (left.at_least() ? "at least " : "") +
                       format_bytes(left.bytes()) + " in " + left.largest();
    if (left.paths() > 1) {
        text += " and " + counted(left.paths() - 1, "other path");
    }
    return text + "; prebake seal" + (left.sealed() ? std::string() : " --also " + left.item()) +
           " removes it";
}

}  // namespace prebake::cli
