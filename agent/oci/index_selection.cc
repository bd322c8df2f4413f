#include <algorithm>

#include "agent/oci/manifest.h"
#include "agent/oci/quoted.h"

namespace prebake::oci {
namespace {

/// Enough for every real index; a hostile one must not flood the terminal.
constexpr std::size_t kMaxNamedPlatforms = 40;

/// BuildKit marks children that are not images (SBOMs, provenance) in both ways.
bool is_attestation(const Descriptor& child) {
    if (child.platform && child.platform->os == "unknown") return true;
    const auto type = child.annotations.find("vnd.docker.reference.type");
    return type != child.annotations.end() && type->second == "attestation-manifest";
}

/// A child without a platform may be an image, but other types (a signature, for example) are not.
bool is_possible_image(const Descriptor& child) {
    const MediaKind kind = media_kind(child.media_type);
    return kind == MediaKind::manifest || kind == MediaKind::index;
}

/// Platforms come from the registry: quoted unless they are plain text.
std::string shown(const Platform& platform) {
    const std::string text = platform.str();
    const bool is_plain = text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
                              return c > ' ' && c < 0x7f;
                          });
    return is_plain ? text : quoted(text);
}

/// The child for a platform, or why it cannot be used. At most one of both.
struct Selection {
    const Descriptor* child = nullptr;
    const Error* problem = nullptr;
};

Selection find_declared(const Index& index, const Platform& wanted) {
    for (const Platform& platform : runnable_on(wanted)) {
        for (const Descriptor& child : index.manifests) {
            if (child.platform == platform && !is_attestation(child)) return {.child = &child};
        }
        for (const UnusableChild& child : index.unusable) {
            if (child.platform == platform) return {.problem = &child.problem};
        }
    }
    return {};
}

}  // namespace

const Descriptor* select_declared(const Index& index, const Platform& wanted) {
    const Selection selection = find_declared(index, wanted);
    if (selection.problem != nullptr) throw Error(*selection.problem);
    return selection.child;
}

std::vector<const Descriptor*> undeclared_children(const Index& index) {
    std::vector<const Descriptor*> children;
    for (const Descriptor& child : index.manifests) {
        if (child.platform || !is_possible_image(child) || is_attestation(child)) continue;
        children.push_back(&child);
    }
    return children;
}

const Descriptor* select_platform(const Index& index, const Platform& wanted) {
    const Selection declared = find_declared(index, wanted);
    if (declared.child != nullptr || declared.problem != nullptr) return declared.child;
    const std::vector<const Descriptor*> others = undeclared_children(index);
    return others.empty() ? nullptr : others.front();
}

std::vector<std::string> platforms_of(const Index& index) {
    std::vector<std::string> names;
    for (const Descriptor& child : index.manifests) {
        if (!child.platform || is_attestation(child)) continue;
        std::string name = shown(*child.platform);
        if (std::find(names.begin(), names.end(), name) == names.end()) {
            names.push_back(std::move(name));
        }
    }
    return names;
}

std::string list_platforms(const std::vector<std::string>& platforms) {
    if (platforms.empty()) return "none";
    std::string list;
    for (std::size_t i = 0; i < std::min(platforms.size(), kMaxNamedPlatforms); ++i) {
        list += (i == 0 ? "" : ", ") + platforms[i];
    }
    if (platforms.size() > kMaxNamedPlatforms) {
        list += " and " + std::to_string(platforms.size() - kMaxNamedPlatforms) + " more";
    }
    return list;
}

}  // namespace prebake::oci
