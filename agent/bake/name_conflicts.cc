#include "agent/bake/name_conflicts.h"

#include <algorithm>
#include <map>
#include <optional>

#include "agent/store/names.h"

namespace prebake::bake {
namespace {

std::vector<std::string> claimed_names(const ResolvedImage& image, const std::string& ns) {
    return store::names_in(ns, image.request.references(), image.target.digest,
                           image.config.descriptor.digest);
}

Error contradiction(const std::string& name, const PlannedImage& other) {
    return Error(Errc::usage,
                 "its name " + name + " is claimed for another image too: " +
                     name_of(other.request) + " (" + other.request.origin + ")",
                 "remove the alias or the image from the list: a name has one target");
}

}  // namespace

void refuse_contradictions(std::vector<PlannedImage>& images) {
    std::map<std::pair<std::string, std::string>, PlannedImage*> owners;
    std::map<PlannedImage*, Error> refused;
    for (PlannedImage& planned : images) {
        if (!planned.image) continue;
        for (const std::string& ns : planned.request.namespaces) {
            for (const std::string& name : claimed_names(*planned.image, ns)) {
                PlannedImage* owner = owners.try_emplace({ns, name}, &planned).first->second;
                if (owner->image->target.digest == planned.image->target.digest) continue;
                refused.emplace(owner, contradiction(name, planned));
                refused.emplace(&planned, contradiction(name, *owner));
            }
        }
    }
    for (auto& [planned, problem] : refused) {
        planned->image.reset();
        planned->problem = std::move(problem);
    }
}

store::NameSet pinned_names(const std::vector<PlannedImage>& images, const v1::BakeRecord& record) {
    store::NameSet pinned;
    std::set<std::pair<std::string, std::string>> baked_anew;  // (name, platform)
    for (const PlannedImage& planned : images) {
        baked_anew.emplace(name_of(planned.request), planned.request.platform->str());
        if (!planned.image || !planned.request.pin) continue;
        for (const std::string& ns : planned.request.namespaces) {
            for (const std::string& name : claimed_names(*planned.image, ns)) {
                pinned.emplace(ns, name);
            }
        }
    }
    for (const v1::BakedImage& image : record.images()) {
        if (baked_anew.contains({image.name(), image.platform()})) continue;
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
