#include "agent/store/sandbox.h"

#include <algorithm>

#include "agent/base/error.h"
#include "agent/containerd/content.h"
#include "agent/oci/platform.h"
#include "agent/oci/reference.h"
#include "agent/store/names.h"
#include "agent/store/stored_image.h"

namespace prebake::store {

std::string sandbox_name(const std::string& reported, const std::string& configured) {
    const std::string& name = reported.empty() ? configured : reported;
    if (name.empty()) return name;
    try {
        const oci::Reference reference = oci::Reference::parse(name);
        if (auto tag_name = reference.tag_name(); tag_name && !reference.digest) return *tag_name;
        return reference.digest ? reference.name() + "@" + reference.digest->str() : name;
    } catch (const Error&) {
        return name;
    }
}

v1::BakedImage describe_sandbox(const containerd::Connection& connection,
                                const containerd::Image& held, const std::string& snapshotter) {
    const containerd::Scope scope{.ns = std::string(kCriNamespace), .lease = {}};
    v1::BakedImage image = describe_stored(connection, scope.ns, held, oci::Platform::host());
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(scope.ns);
    placement.set_pinned(true);
    placement.set_unpacked(!image.chain_id().empty());
    placement.set_snapshotter(snapshotter);
    placement.set_cri_resolves(true);
    placement.add_names(held.name);
    for (const containerd::Image& other : containerd::Images(connection, scope).list()) {
        if (is_name_by_digest(other.name) && other.name != held.name &&
            other.target.digest == held.target.digest) {
            placement.add_names(other.name);
        }
    }
    // CRI may be configured to discard layers after unpacking: then there are no blobs to keep.
    const containerd::Content content(connection, scope);
    const auto& layers = image.layers();
    placement.set_layers_kept(
        std::all_of(layers.begin(), layers.end(), [&](const v1::Layer& layer) {
            return content.info(oci::Digest::parse(layer.digest())).has_value();
        }));
    return image;
}

}  // namespace prebake::store
