#include "agent/store/placements.h"

#include <algorithm>

namespace prebake::store {
namespace {

template <typename IsWanted>
v1::BakeRecord part_of(const v1::BakeRecord& record, IsWanted is_wanted) {
    // Not a copy without its images: protobuf would keep their memory.
    v1::BakeRecord part;
    part.set_schema(record.schema());
    if (record.has_updated_at()) *part.mutable_updated_at() = record.updated_at();
    part.set_prebake_version(record.prebake_version());
    part.set_containerd_version(record.containerd_version());
    part.set_sandbox_left_out(record.sandbox_left_out());
    for (const v1::BakedImage& image : record.images()) {
        if (std::ranges::none_of(image.placements(), is_wanted)) continue;
        v1::BakedImage& kept = *part.add_images();
        kept = image;
        kept.clear_placements();
        for (const v1::Placement& placement : image.placements()) {
            if (is_wanted(placement)) *kept.add_placements() = placement;
        }
    }
    return part;
}

}  // namespace

v1::BakeRecord only_in_containerd(const v1::BakeRecord& record) {
    return part_of(record, [](const auto& placement) { return !is_in_graph_driver(placement); });
}

v1::BakeRecord only_in_engine(const v1::BakeRecord& record) {
    return part_of(record, is_in_graph_driver);
}

v1::BakeRecord only_for_docker(const v1::BakeRecord& record) {
    return part_of(
        record, [](const auto& placement) { return placement.namespace_() == kDockerNamespace; });
}

}  // namespace prebake::store
