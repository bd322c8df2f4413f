#include "agent/store/storage.h"

#include <fcntl.h>

#include <algorithm>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::store {
namespace {

constexpr std::string_view kSnapshotterType = "io.containerd.snapshotter.v1";
constexpr std::string_view kContentType = "io.containerd.content.v1";

}  // namespace

void Storage::require_snapshotter(const std::string& snapshotter) const {
    std::string working;
    for (const containerd::Plugin& plugin : plugins_) {
        if (plugin.type != kSnapshotterType || !plugin.init_error.empty()) continue;
        if (plugin.id == snapshotter) return;
        if (!working.empty()) working += ", ";
        working += plugin.id;
    }
    throw Error(Errc::usage, "snapshotter \"" + snapshotter + "\" does not work in this containerd",
                "choose one of: " + working);
}

std::optional<OpenedFileSystem> Storage::open_snapshotter(const std::string& snapshotter) const {
    const auto root = root_of(kSnapshotterType, snapshotter);
    return root ? std::optional<OpenedFileSystem>(*root) : std::nullopt;
}

void Storage::sync_content() const {
    if (const auto root = content_directory()) sync_file_system(*root);
}

bool Storage::sees_blob(const oci::Digest& digest, std::uint64_t size) const {
    const auto path = path_of(digest);
    if (!path) return false;
    std::error_code error;
    const std::uint64_t held = std::filesystem::file_size(*path, error);
    return !error && held == size;
}

FileDescriptor Storage::open_blob(const oci::Digest& digest) const {
    const auto path = path_of(digest);
    if (!path) return {};
    return FileDescriptor(::open(path->c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
}

std::optional<FreeSpace> Storage::free_space(const std::vector<std::string>& snapshotters) const {
    const auto space_of = [&](std::string_view type,
                              std::string_view id) -> std::optional<DiskSpace> {
        auto root = root_of(type, id);
        if (!root) return std::nullopt;
        // A new containerd creates the directory on first use, but its own root at the start.
        if (!std::filesystem::exists(*root)) root = root->parent_path();
        if (!std::filesystem::exists(*root)) return std::nullopt;
        return disk_space(*root);
    };
    const auto content = space_of(kContentType, "content");
    if (!content) return std::nullopt;
    FreeSpace free{.content_bytes = content->available_bytes,
                   .snapshot_bytes = content->available_bytes,
                   .on_one_disk = true};
    for (const std::string& snapshotter : snapshotters) {
        const auto space = space_of(kSnapshotterType, snapshotter);
        if (!space || space->device == content->device) continue;
        free.snapshot_bytes = free.on_one_disk
                                  ? space->available_bytes
                                  : std::min(free.snapshot_bytes, space->available_bytes);
        free.on_one_disk = false;
    }
    return free;
}

std::optional<std::filesystem::path> Storage::content_directory() const {
    return root_of(kContentType, "content");
}

std::optional<std::filesystem::path> Storage::path_of(const oci::Digest& digest) const {
    const auto root = content_directory();
    if (!root) return std::nullopt;
    return *root / "blobs" / "sha256" / digest.hex();
}

std::vector<std::filesystem::path> Storage::databases(
    const std::vector<std::string>& snapshotters) const {
    std::vector<std::filesystem::path> files;
    if (auto path = exported("io.containerd.metadata.v1", "bolt", "path")) {
        files.push_back(std::move(*path));
    }
    for (const std::string& snapshotter : snapshotters) {
        if (const auto root = root_of(kSnapshotterType, snapshotter)) {
            files.push_back(*root / "metadata.db");
        }
    }
    return files;
}

std::optional<std::filesystem::path> Storage::exported(std::string_view type, std::string_view id,
                                                       const std::string& key) const {
    for (const containerd::Plugin& plugin : plugins_) {
        if (plugin.type != type || plugin.id != id) continue;
        const auto found = plugin.exports.find(key);
        if (found != plugin.exports.end()) return std::filesystem::path(found->second);
    }
    return std::nullopt;
}

std::optional<std::filesystem::path> Storage::root_of(std::string_view type,
                                                      std::string_view id) const {
    return exported(type, id, "root");
}

}  // namespace prebake::store
