#include "agent/bake/snapshot_sync.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/base/file.h"

namespace prebake::bake {

SnapshotSync::Last& SnapshotSync::last_of(const std::string& snapshotter) {
    const std::scoped_lock lock(mutex_);
    Last& last = last_[snapshotter];
    if (!last.sync) last.sync = open_(snapshotter);
    return last;
}

SnapshotSync::Sync SnapshotSync::sync_of(const Last& last) {
    const std::scoped_lock lock(mutex_);
    return last.sync;
}

void SnapshotSync::wait_for(const std::string& snapshotter, Clock::time_point written_at) {
    Last& last = last_of(snapshotter);
    const std::scoped_lock lock(last.running);
    if (last.failure && written_at <= last.failed_at) throw Error(*last.failure);
    if (last.begun > written_at) return;
    const Clock::time_point begun = Clock::now();
    try {
        sync_of(last)();
    } catch (const Error& error) {
        last.failure = error;
        last.failed_at = Clock::now();
        throw;
    }
    last.begun = begun;
}

void SnapshotSync::distrust(const std::string& snapshotter) {
    const std::scoped_lock lock(mutex_);
    last_[snapshotter].sync = [] { ::sync(); };
}

void sync_metadata(const std::filesystem::path& directory) {
    const FileDescriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened) throw errno_error("cannot open", directory);
    struct statfs status {};
    if (::fstatfs(opened.get(), &status) != 0) throw errno_error("cannot read", directory);
    const auto type = static_cast<unsigned long>(status.f_type);
    const bool is_enough = type == EXT4_SUPER_MAGIC || type == XFS_SUPER_MAGIC;
    if (is_enough ? ::fsync(opened.get()) != 0 : ::syncfs(opened.get()) != 0) {
        throw errno_error("cannot sync", directory);
    }
}

}  // namespace prebake::bake
