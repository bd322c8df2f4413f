#include "agent/store/snapshot_use.h"

#include <algorithm>

#include "agent/base/format.h"
#include "agent/base/text.h"

namespace prebake::store {
namespace {

/// So many containers are named.
constexpr std::size_t kNamedUsers = 3;

}  // namespace

Dependents dependents_of(const std::string& snapshot, const SnapshotsByName& snapshots,
                         const std::set<std::string>& baked) {
    std::multimap<std::string, const containerd::SnapshotInfo*> children;
    for (const auto& [name, info] : snapshots) children.emplace(info.parent, &info);
    Dependents found;
    // Level by level, so that what comes later stands on what comes earlier.
    std::vector<std::string> all = {snapshot};
    found.baked = all;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const auto [begin, end] = children.equal_range(all[i]);
        for (auto child = begin; child != end; ++child) {
            const containerd::SnapshotInfo& info = *child->second;
            const bool is_committed = info.kind == containerd::SnapshotKind::committed;
            auto& place = !is_committed               ? found.containers
                          : baked.contains(info.name) ? found.baked
                                                      : found.others;
            place.push_back(info.name);
            all.push_back(info.name);
        }
    }
    std::ranges::reverse(found.baked);
    return found;
}

bool is_unpacked_in(const v1::BakedImage& image, const std::string& ns) {
    return std::ranges::any_of(image.placements(), [&](const v1::Placement& placement) {
        return placement.namespace_() == ns && placement.unpacked();
    });
}

std::set<std::string> chains_in(const v1::BakeRecord& record, const std::string& ns) {
    std::set<std::string> chains;
    for (const v1::BakedImage& image : record.images()) {
        if (!is_unpacked_in(image, ns)) continue;
        for (const v1::Layer& layer : image.layers()) chains.insert(layer.chain_id());
    }
    return chains;
}

std::string users_text(const Dependents& dependents) {
    const std::vector<std::string>& containers = dependents.containers;
    if (containers.empty()) {
        return "the snapshot " + dependents.others.front() + ", which was not baked";
    }
    const std::size_t named = std::min(containers.size(), kNamedUsers);
    std::string text =
        counted(containers.size(), "container") + " (" +
        joined(std::vector<std::string>(containers.begin(),
                                        containers.begin() + static_cast<std::ptrdiff_t>(named)));
    return text + (named < containers.size() ? ", ...)" : ")");
}

std::string how_to_free(const Dependents& dependents) {
    if (dependents.containers.empty()) {
        return "remove the image that has it, then run: prebake verify --deep --repair";
    }
    return "drain the node and remove these containers, then run: prebake verify --deep --repair";
}

}  // namespace prebake::store
