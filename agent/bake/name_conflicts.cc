#include "agent/bake/name_conflicts.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "agent/store/placements.h"

namespace prebake::bake {
namespace {

Error conflict(const std::string& name, const PlannedImage& other) {
    return Error(Errc::usage,
                 "its name " + name + " is also a name of another image: " +
                     name_of(other.request) + " (" + other.request.origin + ")",
                 "remove the alias or the image from the list: a name has one target");
}

}  // namespace

void mark_name_conflicts(std::vector<PlannedImage>& images) {
    std::map<std::pair<std::string, std::string>, PlannedImage*> first_with;
    std::map<PlannedImage*, Error> conflicts;
    for (PlannedImage& planned : images) {
        if (!planned.image) continue;
        std::vector<std::string> namespaces = planned.request.namespaces;
        if (planned.request.in_graph_driver) namespaces.emplace_back(store::kDockerNamespace);
        for (const std::string& ns : namespaces) {
            for (const std::string& name : names_in(ns, *planned.image)) {
                if (store::is_image_id(name)) continue;
                PlannedImage* first = first_with.try_emplace({ns, name}, &planned).first->second;
                if (first->image->target.digest == planned.image->target.digest) continue;
                conflicts.emplace(first, conflict(name, planned));
                conflicts.emplace(&planned, conflict(name, *first));
            }
        }
    }
    for (auto& [planned, problem] : conflicts) {
        planned->image.reset();
        planned->problem = std::move(problem);
    }
}

store::NameSet shared_ids(const std::vector<PlannedImage>& images, const v1::BakeRecord& record) {
    using Image = std::pair<std::string, std::string>;  // name, platform
    std::map<std::pair<std::string, std::string>, std::set<Image>> owners;
    const auto add = [&](const std::string& ns, const std::string& name, const Image& image) {
        if (store::is_image_id(name)) owners[{ns, name}].insert(image);
    };
    for (const PlannedImage& planned : images) {
        if (!planned.image) continue;
        const Image image{name_of(planned.request), planned.request.platform->str()};
        for (const std::string& ns : planned.request.namespaces) {
            for (const std::string& name : names_in(ns, *planned.image)) add(ns, name, image);
        }
    }
    for (const v1::BakedImage& image : record.images()) {
        for (const v1::Placement& placement : image.placements()) {
            for (const std::string& name : placement.names()) {
                add(placement.namespace_(), name, {image.name(), image.platform()});
            }
        }
    }
    store::NameSet shared;
    for (const auto& [id, images_with_it] : owners) {
        if (images_with_it.size() > 1) shared.insert(id);
    }
    return shared;
}

store::NameSet pinned_names(const std::vector<PlannedImage>& images, const v1::BakeRecord& record) {
    store::NameSet pinned;
    std::set<std::pair<std::string, std::string>> baked_now;  // (name, platform)
    for (const PlannedImage& planned : images) {
        baked_now.emplace(name_of(planned.request), planned.request.platform->str());
        if (!planned.image || !planned.request.pin) continue;
        for (const std::string& ns : planned.request.namespaces) {
            for (const std::string& name : names_in(ns, *planned.image)) {
                pinned.emplace(ns, name);
            }
        }
    }
    for (const v1::BakedImage& image : record.images()) {
        if (baked_now.contains({image.name(), image.platform()})) continue;
        for (const v1::Placement& placement : image.placements()) {
            if (!placement.pinned()) continue;
            for (const std::string& name : placement.names()) {
                pinned.emplace(placement.namespace_(), name);
            }
        }
    }
    return pinned;
}

}  // namespace prebake::bake
