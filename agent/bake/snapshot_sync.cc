#include "agent/bake/snapshot_sync.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::bake {

void SnapshotSync::wait_for(const std::string& snapshotter, Clock::time_point written_at) {
    Last* last = nullptr;
    {
        const std::scoped_lock lock(mutex_);
        last = &last_[snapshotter];
    }
    const std::scoped_lock lock(last->running);
    if (last->begun > written_at) return;
    const Clock::time_point begun = Clock::now();
    storage_.sync_snapshotter(snapshotter);
    last->begun = begun;
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
