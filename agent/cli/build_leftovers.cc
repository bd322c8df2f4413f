#include "agent/cli/build_leftovers.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/format.h"
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

std::uint64_t bytes_on_disk(const std::filesystem::path& path) {
    struct stat found {};
    if (lstat(path.c_str(), &found) != 0) return 0;
    return static_cast<std::uint64_t>(found.st_blocks) * 512;
}

/// Of everything below. `files` is how many may still be looked at.
std::uint64_t bytes_below(const std::filesystem::path& path, std::size_t& files) {
    std::uint64_t bytes = bytes_on_disk(path);
    std::error_code error;
    std::filesystem::recursive_directory_iterator below(path, error);
    for (; !error && below != std::filesystem::recursive_directory_iterator() && files > 0;
         below.increment(error), --files) {
        bytes += bytes_on_disk(below->path());
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
