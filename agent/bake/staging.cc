#include "agent/bake/staging.h"

#include <sys/stat.h>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/store/snapshot_directories.h"

namespace prebake::bake {

Staging::Staging(const containerd::Snapshots& snapshots, const oci::Digest& chain_id)
    : snapshot_(ActiveSnapshot::prepare(snapshots, chain_id, "", {})) {
    store::SnapshotDirectories place = store::visible_directories_of(snapshot_->mounts());
    root_ = std::move(place.upper);
    obstacle_ = std::move(place.obstacle);
    is_hidden_ = place.is_hidden;
    if (!obstacle_.empty()) return;
    obstacle_ = snapshot_->obstacle_in(root_);
    is_hidden_ = !obstacle_.empty();
}

std::filesystem::path Staging::make_directory() {
    std::filesystem::path directory = root_ / std::to_string(made_++);
    if (::mkdir(directory.c_str(), 0755) != 0) throw errno_error("cannot create", directory);
    return directory;
}

}  // namespace prebake::bake
