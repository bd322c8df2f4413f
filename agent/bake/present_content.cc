#include "agent/bake/present_content.h"

#include <algorithm>

namespace prebake::bake {

bool PresentContent::has_in_engine(const ImageRequest& request) const {
    return in_engine.contains({name_of(request), request.platform->str()});
}

bool PresentContent::has_blob(const ImageRequest& request, const oci::Digest& digest) const {
    return std::any_of(request.namespaces.begin(), request.namespaces.end(),
                       [&](const std::string& ns) {
                           return blobs.contains({ns, digest});
                       });
}

bool PresentContent::has_snapshot(const ImageRequest& request, const oci::Digest& chain_id) const {
    return std::all_of(request.namespaces.begin(), request.namespaces.end(),
                       [&](const std::string& ns) {
                           return snapshots.contains({ns, chain_id});
                       });
}

void add_present(const ResolvedImage& image, const store::Holdings& held,
                 const std::function<bool(const containerd::BlobInfo&)>& is_readable,
                 PresentContent& present) {
    for (const oci::Digest& digest : blobs_of(image)) {
        const std::pair key{held.ns, digest};
        if (present.blobs.contains(key)) continue;
        const auto blob = held.blobs.find(digest.str());
        if (blob == held.blobs.end() || !is_readable(blob->second)) continue;
        present.blobs.emplace(key, blob->second.labels);
    }
    for (const oci::Digest& chain_id : image.chain_ids) {
        if (held.snapshots.contains(chain_id.str())) present.snapshots.emplace(held.ns, chain_id);
    }
}

void look_up(const ResolvedImage& image, const store::Snapshotters& snapshotters,
             store::StoreView& store, PresentContent& present) {
    for (const std::string& ns : image.request.namespaces) {
        add_present(
            image, holdings_of(ns, snapshotters, store),
            [&](const containerd::BlobInfo& blob) { return store.is_readable(ns, blob); }, present);
    }
}

const store::Holdings& holdings_of(const std::string& ns, const store::Snapshotters& snapshotters,
                                   store::StoreView& store) {
    const auto snapshotter = snapshotters.find(ns);
    return store.holdings(ns, snapshotter == snapshotters.end() ? "" : snapshotter->second);
}

}  // namespace prebake::bake
