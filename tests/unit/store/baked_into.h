#pragma once

#include <string>

#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"
#include "agent/oci/platform.h"
#include "agent/oci/reference.h"
#include "agent/store/labels.h"
#include "agent/store/names.h"
#include "agent/store/stored_image.h"
#include "tests/unit/containerd/memory_containerd.h"
#include "tests/unit/oci/blob_of.h"

namespace prebake::store::test {

using oci::test::blob_of;

inline std::string json_of(const oci::Descriptor& descriptor) {
    return R"({"mediaType":")" + descriptor.media_type + R"(","digest":")" +
           descriptor.digest.str() + R"(","size":)" + std::to_string(descriptor.size) + "}";
}

/// Puts an image of one layer, which no other image has, into k8s.io, pinned and unpacked into
/// overlayfs, as a bake leaves it. Returns its entry of the record.
inline v1::BakedImage bake_into(containerd::fake::MemoryContainerd& containerd,
                                const std::string& image_name) {
    const std::string ns(kCriNamespace);
    const oci::Platform host = oci::Platform::host();
    const std::string layer = "a layer of " + image_name;
    const std::string config = R"({"os":")" + host.os + R"(","architecture":")" +
                               host.architecture + R"(","variant":")" + host.variant +
                               R"(","rootfs":{"type":"layers","diff_ids":[")" +
                               oci::Digest::of("the tar of " + layer).str() + R"("]}})";
    const oci::Descriptor config_of = blob_of(config, "application/vnd.oci.image.config.v1+json");
    const std::string manifest =
        R"({"schemaVersion":2,"config":)" + json_of(config_of) + R"(,"layers":[)" +
        json_of(blob_of(layer, "application/vnd.oci.image.layer.v1.tar+gzip")) + "]}";
    const oci::Descriptor target = blob_of(manifest, "application/vnd.oci.image.manifest.v1+json");

    containerd.add_blob(ns, layer);
    containerd.add_blob(
        ns, manifest,
        gc_labels(oci::parse_manifest(target.media_type, manifest), LayerReferences::keep));
    containerd.add_blob(ns, config);
    const containerd::Connection connection(containerd.socket(), {});
    v1::BakedImage image =
        describe_stored(connection, ns, {.name = image_name, .labels = {}, .target = target}, host);
    containerd.add_snapshot(ns, image.chain_id(), "");
    containerd.add_blob(ns, config, {{snapshot_gc_label("overlayfs"), image.chain_id()}});

    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(ns);
    placement.set_pinned(true);
    placement.set_layers_kept(true);
    placement.set_unpacked(true);
    placement.set_snapshotter("overlayfs");
    for (const std::string& name :
         names_in(ns, {oci::Reference::parse(image_name)}, target.digest, config_of.digest)) {
        containerd.add_image(ns,
                             {.name = name, .labels = name_labels(ns, Pin::yes), .target = target});
        placement.add_names(name);
    }
    return image;
}

}  // namespace prebake::store::test
