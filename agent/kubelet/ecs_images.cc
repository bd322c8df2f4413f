#include "agent/kubelet/ecs_images.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/oci/reference.h"
#include "agent/store/names.h"
#include "agent/store/placements.h"

namespace prebake::kubelet {
namespace {

using Names = std::vector<std::string>;

constexpr std::string_view kHub = "docker.io/";
constexpr std::string_view kLibrary = "library/";

void add_missing(Names& names, const Names& more) {
    for (const std::string& name : more) {
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
}

/// What people write for a normalised name, with or without tag and digest; first the short form
/// that Docker lists. Not index.docker.io, which Docker understands and nobody writes.
Names spellings_of(const std::string& name) {
    if (!name.starts_with(kHub)) return {name};
    const std::string path = name.substr(kHub.size());
    const std::string last = path.substr(path.rfind('/') + 1);
    if (path != std::string(kLibrary) + last) return {path, name};
    return {last, name, path, std::string(kHub) + last};
}

void add_names(EcsImage& image, const oci::Reference& reference, const std::string& target) {
    const std::string digest = "@" + (reference.digest ? reference.digest->str() : target);
    if (const auto tag_name = reference.tag_name()) {
        const Names spellings = spellings_of(*tag_name);
        add_missing(image.listed, {spellings.front()});
        add_missing(image.by_tag, spellings);
        if (reference.tag == "latest") add_missing(image.by_tag, spellings_of(reference.name()));
        if (digest.size() > 1) add_missing(image.by_digest, spellings_of(*tag_name + digest));
    }
    if (digest.size() > 1) add_missing(image.by_digest, spellings_of(reference.name() + digest));
}

EcsImage ecs_image(const v1::BakedImage& baked, const v1::Placement& placement) {
    EcsImage image{.name = baked.name(), .listed = {}, .by_tag = {}, .by_digest = {}};
    const auto add = [&](const std::string& name) {
        if (store::is_image_id(name)) return;
        try {
            add_names(image, oci::Reference::parse(name), baked.target().digest());
        } catch (const Error&) {
            // The record has a name that no task definition can have.
        }
    };
    add(baked.name());
    for (const std::string& name : placement.names()) add(name);
    Names by_tag = image.listed;
    add_missing(by_tag, image.by_tag);
    image.by_tag = std::move(by_tag);
    return image;
}

}  // namespace

std::vector<EcsImage> ecs_images(const v1::BakeRecord& record) {
    std::vector<EcsImage> images;
    for (const v1::BakedImage& baked : record.images()) {
        if (baked.kind() != v1::BakedImage::IMAGE) continue;
        for (const v1::Placement& placement : baked.placements()) {
            if (placement.namespace_() == store::kDockerNamespace) {
                images.push_back(ecs_image(baked, placement));
            }
        }
    }
    return images;
}

}  // namespace prebake::kubelet
