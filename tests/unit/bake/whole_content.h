#pragma once

#include <string>
#include <vector>

#include "agent/bake/image_content.h"

namespace prebake::bake::test {

/// What the namespaces of an image hold after it was baked.
inline PresentContent whole_content(const ResolvedImage& image,
                                    const store::Snapshotters& snapshotters) {
    const std::vector<oci::Reference> repositories{image.request.reference};
    PresentContent present;
    for (const std::string& ns : image.request.namespaces) {
        for (const auto& [document, labels] : documents_of(image, ns, snapshotters)) {
            present.blobs[{ns, document->descriptor.digest}] =
                with_sources(labels, {}, repositories);
        }
        for (std::size_t i = 0; i < image.contents.layers.size(); ++i) {
            store::Labels labels;
            if (!image.diff_ids.empty()) {
                labels.emplace(std::string(store::kUncompressedLabel), image.diff_ids[i].str());
            }
            present.blobs[{ns, image.contents.layers[i].digest}] =
                with_sources(labels, {}, repositories);
        }
        for (const oci::Digest& chain_id : image.chain_ids)
            present.snapshots.insert({ns, chain_id});
    }
    return present;
}

}  // namespace prebake::bake::test
