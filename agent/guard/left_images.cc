#include "agent/guard/left_images.h"

#include <algorithm>
#include <set>
#include <string>

#include "agent/store/placements.h"
#include "agent/store/record.h"

namespace prebake::guard {
namespace {

bool has_lost_name(const ProtectedImages& images, const ImageNames& names, const ImageKey& key) {
    const std::vector<std::string> own = images.baked().names_of(key);
    return std::any_of(own.begin(), own.end(),
                       [&](const auto& name) { return !names.get(key.ns, name); });
}

}  // namespace

void find_left_images(ProtectedImages& images, const ImageNames& names, const ActivityLog& log) {
    const std::set<ImageKey> unpinned = images.unpinned();
    for (const ImageKey& key : unpinned) {
        const bool is_deleted = has_lost_name(images, names, key);
        if (is_deleted && !images.evicted().contains(key)) {
            log.note(Severity::info, key.image + " in " + key.ns +
                                         " was deleted after the pin budget had unpinned it");
        }
        images.set_evicted(key, is_deleted);
    }
    for (const store::PlacedImage& placed : images.baked().images()) {
        const ImageKey& key = placed.key;
        if (store::is_in_graph_driver(placed.placement) || !images.is_restored(key)) continue;
        const bool is_removed = has_lost_name(images, names, key);
        if (is_removed && !images.removed().contains(key)) {
            log.note(Severity::info,
                     key.image + " was removed from Docker on purpose, and is left so");
        }
        images.set_removed(key, is_removed);
    }
}

std::vector<ImageHealth> left_images(const ProtectedImages& images) {
    std::vector<ImageHealth> left;
    for (const store::PlacedImage& placed : images.baked().images()) {
        const ImageKey& key = placed.key;
        const bool is_removed = images.removed().contains(key);
        if (store::is_in_graph_driver(placed.placement)) continue;
        if (!is_removed && !images.evicted().contains(key)) continue;
        left.push_back(
            {.name = key.image,
             .ns = key.ns,
             .platform = key.platform,
             .digest = placed.image.target().digest(),
             .problem = is_removed ? kRemoved : "",
             .next_step = is_removed ? store::how_to_bake_again(placed.image, key.ns) : ""});
    }
    return left;
}

}  // namespace prebake::guard
