#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "agent/bake/image_list.h"
#include "agent/bake/resolve.h"
#include "agent/oci/digest.h"
#include "agent/store/holdings.h"
#include "agent/store/labels.h"
#include "agent/store/snapshotter.h"
#include "agent/store/store_view.h"

namespace prebake::bake {

/// The blobs and snapshots of some images that containerd has already.
struct PresentContent {
    std::map<std::pair<std::string, oci::Digest>, store::Labels> blobs;  ///< (namespace, digest)
    std::set<std::pair<std::string, oci::Digest>> snapshots;             ///< (namespace, chain ID)
    /// The images that dockerd's graph driver has by all their names: name and platform.
    std::set<std::pair<std::string, std::string>> in_engine;

    /// Whether dockerd's graph driver need not pull anything for the request.
    bool has_in_engine(const ImageRequest& request) const;

    /// True if one of the request's namespaces has the blob: the others can adopt it.
    bool has_blob(const ImageRequest& request, const oci::Digest& digest) const;
    /// True if all of the request's namespaces have the snapshot: they cannot share one.
    bool has_snapshot(const ImageRequest& request, const oci::Digest& chain_id) const;
};

/// Adds what the namespace that `held` describes has of the image. A blob counts if `is_readable`;
/// that is asked only about blobs of the image. Pure, except for `is_readable`.
void add_present(const ResolvedImage& image, const store::Holdings& held,
                 const std::function<bool(const containerd::BlobInfo&)>& is_readable,
                 PresentContent& present);

/// add_present() for each namespace of the image. `snapshotters` has those of the namespaces that
/// are unpacked in. @throws Error as StoreView.
void look_up(const ResolvedImage& image, const store::Snapshotters& snapshotters,
             store::StoreView& store, PresentContent& present);

/// What `store` has of namespace `ns`, with the snapshots of its snapshotter, if it has one.
const store::Holdings& holdings_of(const std::string& ns, const store::Snapshotters& snapshotters,
                                   store::StoreView& store);

}  // namespace prebake::bake
