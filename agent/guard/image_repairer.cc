#include "agent/guard/image_repairer.h"

#include "agent/bake/bake_lock.h"
#include "agent/bake/restore.h"

namespace prebake::guard {

std::vector<store::Finding> ContainerdImageRepairer::verify(
    const v1::BakeRecord& record, const store::Snapshotters& snapshotters) {
    return store::verify(record, connection_, {.snapshotters = snapshotters}).findings;
}

void ContainerdImageRepairer::restore(const v1::BakedImage& image,
                                      const store::Snapshotters& snapshotters,
                                      const store::NameSet& pinned) {
    const bake::BakeLock lock = bake::BakeLock::for_repair(state_dir_);
    bake::restore(lock, image, snapshotters, pinned, state_dir_, connection_, events_);
}

bool ContainerdImageRepairer::can_restore() const {
    return !bake::BakeLock::is_busy(state_dir_);
}

}  // namespace prebake::guard
