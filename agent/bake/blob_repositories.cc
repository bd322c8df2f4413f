#include "agent/bake/blob_repositories.h"

#include <algorithm>

namespace prebake::bake {

void add_repository(BlobRepositories& repositories, const ResolvedImage& image) {
    const oci::Reference& reference = image.request.reference;
    for (const std::string& ns : image.request.namespaces) {
        for (const oci::Digest& digest : blobs_of(image)) {
            std::vector<oci::Reference>& known = repositories[{ns, digest}];
            const bool is_known = std::any_of(
                known.begin(), known.end(),
                [&](const oci::Reference& other) { return other.name() == reference.name(); });
            if (!is_known) known.push_back(reference);
        }
    }
}

store::Labels with_sources(store::Labels labels, const store::Labels& held,
                           const std::vector<oci::Reference>& repositories) {
    labels.merge(store::source_labels(held, repositories));
    return labels;
}

}  // namespace prebake::bake
