#include "agent/store/placements.h"

#include <utility>

namespace prebake::store {
namespace {

v1::BakeRecord part_of(const v1::BakeRecord& record, bool in_graph_driver) {
    v1::BakeRecord part = record;
    part.clear_images();
    for (const v1::BakedImage& image : record.images()) {
        v1::BakedImage kept = image;
        kept.clear_placements();
        for (const v1::Placement& placement : image.placements()) {
            if (is_in_graph_driver(placement) == in_graph_driver)
                *kept.add_placements() = placement;
        }
        if (kept.placements_size() > 0) *part.add_images() = std::move(kept);
    }
    return part;
}

}  // namespace

v1::BakeRecord only_in_containerd(const v1::BakeRecord& record) {
    return part_of(record, false);
}

v1::BakeRecord only_in_engine(const v1::BakeRecord& record) {
    return part_of(record, true);
}

}  // namespace prebake::store
