#pragma once

#include <string>
#include <vector>

#include "agent/bake/resolve.h"
#include "tests/unit/oci/blob_of.h"

namespace prebake::bake::test {

using oci::test::blob_of;

/// What follows from a layer: its snapshot's chain ID.
inline oci::Digest chain_of(const std::string& layer) {
    return oci::Digest::of("chain " + layer);
}

/// An image of layers with these bytes. Manifest and config have the bytes "<name> manifest" and
/// "<name> config".
inline ResolvedImage image_of(const std::string& name, const std::vector<std::string>& layers,
                              const std::vector<std::string>& namespaces = {"k8s.io"}) {
    const std::string manifest_bytes = name + " manifest";
    const std::string config_bytes = name + " config";
    const auto manifest = blob_of(manifest_bytes, "application/vnd.oci.image.manifest.v1+json");
    const auto config = blob_of(config_bytes, "application/vnd.oci.image.config.v1+json");
    ResolvedImage image{
        {.target = manifest,
         .indexes = {},
         .manifest = {.descriptor = manifest, .bytes = manifest_bytes},
         .config = {.descriptor = config, .bytes = config_bytes},
         .contents = {.media_type = manifest.media_type, .config = config, .layers = {}},
         .diff_ids = {},
         .chain_ids = {}},
        {.reference = oci::Reference::parse(name),
         .platform = oci::Platform::parse("linux/amd64"),
         .namespaces = namespaces,
         .aliases = {},
         .origin = "test"}};
    for (const std::string& layer : layers) {
        image.contents.layers.push_back(
            blob_of(layer, "application/vnd.oci.image.layer.v1.tar+gzip"));
        image.diff_ids.push_back(oci::Digest::of("diff " + layer));
        image.chain_ids.push_back(chain_of(layer));
    }
    return image;
}

}  // namespace prebake::bake::test
