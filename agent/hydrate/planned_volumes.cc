#include "agent/hydrate/planned_volumes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <set>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/hydrate/file_places.h"
#include "agent/hydrate/file_system.h"

namespace prebake::hydrate {
namespace {

/// Whether a sentinel is where it was. The first one that is decides: each one that is looked at
/// costs reads of a cold disk.
bool holds(const v1::PlannedVolume& planned, dev_t number) {
    for (const v1::Sentinel& sentinel : planned.sentinels()) {
        constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        const std::filesystem::path path = sentinel.path();
        const FileDescriptor file(open(path.c_str(), kFlags));
        struct stat found {};
        if (!file || fstat(file.get(), &found) != 0 || found.st_dev != number) continue;
        if (place_of_start(file.get(), path) == sentinel.offset()) return true;
    }
    return false;
}

VolumeToRead volume_to_read(const v1::PlannedVolume& planned, const FileSystem& found) {
    VolumeToRead volume{.uuid = planned.uuid(),
                        .mount_point = found.mount_point,
                        .device = found.device,
                        .number = found.number,
                        .bytes = found.bytes,
                        .parts = {}};
    const std::uint64_t end = chunks_of_device(found.bytes);
    for (const v1::PlannedPart& part : planned.parts()) {
        volume.parts.push_back(
            {.rank = part.rank(), .image = part.image(), .chunks = read_runs(part.runs(), end)});
    }
    return volume;
}

/// Where files that were below the mount point are now; without a mount point if none of them is
/// there, for example because the volume is not mounted.
MovedVolume moved_volume(const v1::PlannedVolume& planned) {
    MovedVolume moved{
        .uuid = planned.uuid(),
        .mount_point = {},
        .number = 0,
        .why = "no file system with the UUID " + planned.uuid() + " can be read here"};
    for (const v1::Sentinel& sentinel : planned.sentinels()) {
        struct stat found {};
        if (lstat(sentinel.path().c_str(), &found) != 0) continue;
        moved.mount_point = planned.mount_point();
        moved.number = found.st_dev;
        break;
    }
    return moved;
}

}  // namespace

PlannedVolumes find_planned_volumes(const v1::HydrationPlan& plan) {
    FileSystems file_systems(Detail::identity);
    PlannedVolumes volumes;
    for (const v1::PlannedVolume& planned : plan.volumes()) {
        if (planned.chunk_bytes() != kChunkBytes) {
            throw Error(
                Errc::corrupt,
                "the plan has chunks of " + std::to_string(planned.chunk_bytes()) + " bytes",
                "bake again, which makes a new plan");
        }
        MovedVolume moved = moved_volume(planned);
        std::set<dev_t> seen;
        bool is_found = false;
        for (const Mount& mount : file_systems.mounts()) {
            if (is_found || !seen.insert(mount.number).second) continue;
            const FileSystem* const found = file_systems.find(mount.number);
            if (found == nullptr) {
                if (mount.number == moved.number) moved.why = file_systems.why_not(mount.number);
                continue;
            }
            if (found->superblock.uuid != planned.uuid()) continue;
            moved.number = found->number;
            moved.mount_point = found->mount_point;
            if (found->bytes < planned.bytes()) {
                moved.why = "its device is smaller than it was";
            } else if (!holds(planned, found->number)) {
                moved.why = "its files are not where they were";
            } else {
                volumes.found.push_back(volume_to_read(planned, *found));
                is_found = true;
            }
        }
        if (!is_found) volumes.moved.push_back(std::move(moved));
    }
    return volumes;
}

}  // namespace prebake::hydrate
