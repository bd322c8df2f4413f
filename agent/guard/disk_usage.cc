#include "agent/guard/disk_usage.h"

#include <sys/statvfs.h>

#include <system_error>
#include <vector>

#include "agent/base/error.h"
#include "agent/containerd/introspection.h"
#include "agent/containerd/snapshots.h"
#include "agent/store/storage.h"

namespace prebake::guard {
namespace {

constexpr const char* kSnapshotterType = "io.containerd.snapshotter.v1";

/// `directory`, or its parent if the snapshotter has not created it so far. Empty if containerd's
/// files are not visible from here.
std::filesystem::path visible(const std::filesystem::path& directory) {
    std::error_code error;
    if (std::filesystem::exists(directory, error)) return directory;
    if (std::filesystem::exists(directory.parent_path(), error)) return directory.parent_path();
    return {};
}

/// The directory of the snapshotter. Some do not report it, as the native one of 1.6: containerd
/// keeps it beside the content store.
std::filesystem::path directory_of(const std::vector<containerd::Plugin>& plugins,
                                   const std::string& snapshotter) {
    for (const containerd::Plugin& plugin : plugins) {
        if (plugin.type != kSnapshotterType || plugin.id != snapshotter) continue;
        const auto root = plugin.exports.find("root");
        if (root == plugin.exports.end()) continue;
        return visible(root->second);
    }
    const auto content = store::Storage(plugins).content_directory();
    if (!content) return {};
    return visible(std::filesystem::path(*content).parent_path() /
                   (std::string(kSnapshotterType) + "." + snapshotter));
}

}  // namespace

std::optional<DiskRoom> ContainerdDiskUsage::room(const std::string& snapshotter) {
    if (!directory_) directory_ = directory_of(containerd::plugins(connection_), snapshotter);
    struct statvfs disk {};
    if (directory_->empty() || ::statvfs(directory_->c_str(), &disk) != 0) return {};
    return DiskRoom{.free_bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize,
                    .total_bytes = std::uint64_t{disk.f_blocks} * disk.f_frsize};
}

std::uint64_t ContainerdDiskUsage::layer_bytes(const std::string& ns,
                                               const std::string& snapshotter,
                                               const std::string& chain_id) {
    const std::string key = snapshotter + " " + chain_id;
    const auto known = layer_bytes_.find(key);
    if (known != layer_bytes_.end()) return known->second;
    try {
        const containerd::Snapshots snapshots(connection_, {.ns = ns, .lease = {}}, snapshotter);
        return layer_bytes_.emplace(key, snapshots.usage(chain_id).bytes).first->second;
    } catch (const Error& error) {
        if (containerd::ends_session(error)) throw;
        return 0;  // not there, so it takes nothing
    }
}

}  // namespace prebake::guard
