#include "agent/bake/image_content.h"

#include <algorithm>
#include <utility>

#include "agent/bake/plan.h"

namespace prebake::bake {

std::vector<LabelledDocument> documents_of(const ResolvedImage& image, const std::string& ns,
                                           const store::Snapshotters& snapshotters) {
    std::vector<LabelledDocument> documents;
    store::Labels config_labels;
    if (!image.chain_ids.empty()) {
        config_labels.emplace(store::snapshot_gc_label(snapshotters.at(ns)),
                              image.chain_ids.back().str());
    }
    documents.push_back({&image.config, std::move(config_labels)});
    std::vector<oci::Digest> signatures;
    for (const trust::Proof& proof : image.proofs) {
        const oci::Document& manifest = proof.manifest;
        documents.push_back({&proof.blob, {}});
        documents.push_back(
            {&manifest,
             store::gc_labels(oci::parse_manifest(manifest.descriptor.media_type, manifest.bytes),
                              store::LayerReferences::keep)});
        signatures.push_back(manifest.descriptor.digest);
    }
    documents.push_back(
        {&image.manifest, store::gc_labels(image.contents, image.request.keep_layers
                                                               ? store::LayerReferences::keep
                                                               : store::LayerReferences::drop)});
    for (const oci::Document& index : image.indexes) {
        documents.push_back(
            {&index, store::gc_labels(oci::parse_index(index.descriptor.media_type, index.bytes))});
    }
    // What the names point at holds the signatures about it, too.
    for (LabelledDocument& document : documents) {
        if (document.document->descriptor.digest == image.target.digest) {
            document.labels.merge(store::referrer_gc_labels(signatures));
        }
    }
    return documents;
}

bool has_all(const PresentContent& present, const ResolvedImage& image, const std::string& ns,
             const store::Snapshotters& snapshotters, const BlobRepositories& repositories) {
    const auto has_snapshot = [&](const oci::Digest& chain_id) {
        return present.snapshots.contains({ns, chain_id});
    };
    if (!std::all_of(image.chain_ids.begin(), image.chain_ids.end(), has_snapshot)) return false;
    const auto has = [&](const oci::Digest& digest, const store::Labels& labels) {
        const auto held = present.blobs.find({ns, digest});
        if (held == present.blobs.end()) return false;
        const store::Labels wanted =
            with_sources(labels, held->second, repositories.at({ns, digest}));
        return store::missing_labels(held->second, wanted).empty();
    };
    for (const std::size_t i : layers_needed(image, present)) {
        store::Labels labels;
        if (!image.chain_ids.empty()) {
            labels.emplace(std::string(store::kUncompressedLabel), image.diff_ids[i].str());
        }
        if (!has(image.contents.layers[i].digest, labels)) return false;
    }
    const std::vector<LabelledDocument> documents = documents_of(image, ns, snapshotters);
    return std::all_of(documents.begin(), documents.end(), [&](const LabelledDocument& document) {
        return has(document.document->descriptor.digest, document.labels);
    });
}

}  // namespace prebake::bake
