#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "agent/bake/blob_repositories.h"
#include "agent/bake/cri_check.h"
#include "agent/bake/fetch.h"
#include "agent/bake/image_store.h"
#include "agent/bake/leased_store.h"
#include "agent/bake/present_content.h"
#include "agent/bake/unpack.h"
#include "agent/base/worker_pool.h"
#include "agent/containerd/images.h"
#include "agent/store/names.h"
#include "agent/store/snapshotter.h"

namespace prebake::bake {

class LayerDownloads;

/// What to do with a name that exists and points at another image.
enum class MovedNames {
    point_here,
    leave,
};

/// What to do with a stored layer that does not unpack because its bytes are damaged.
enum class DamagedLayers {
    leave,
    fetch_again,
};

/// What is the same for all images of a bake. The referenced objects must live longer.
struct BakeTarget {
    const store::Snapshotters& snapshotters;  ///< of each namespace to unpack in
    const PresentContent& present;            ///< what need not be fetched or unpacked
    const BlobRepositories& repositories;     ///< of every blob of these images
    const store::NameSet& pinned;             ///< the names to pin
    const store::NameSet& shared_ids;         ///< names by image ID that other images have too
    MovedNames moved_names;
    std::chrono::milliseconds cri_patience = kCriPatience;  ///< for CRI to know an image
    DamagedLayers damaged_layers = DamagedLayers::leave;
};

/// Bakes resolved images into the namespaces of containerd that their requests name: content,
/// snapshots, then names. The images of a bake share one of these.
class ImageBaker final : public ImageStore {
  public:
    ImageBaker(const LeasedStore& store, const BakeTarget& target, WorkerPool& downloads,
               BlobFetcher& fetcher, Unpacker& unpacker);

    /// What was finished stays under the lease.
    void bake(const ResolvedImage& image, ImageChanges& changes) override;

  private:
    bool is_whole(const ResolvedImage& image);
    bool has_names(const ResolvedImage& image, const std::string& ns);
    containerd::Image wanted_name(const std::string& name,
                                  const std::optional<containerd::Image>& held,
                                  const ResolvedImage& image, const std::string& ns) const;
    void store_documents(const ResolvedImage& image, const std::string& ns);
    void store_layers(const ResolvedImage& image, const std::string& ns, ImageChanges& changes);
    void unpack_layers(const ResolvedImage& image, const std::string& ns, LayerDownloads& downloads,
                       ImageChanges& changes);
    bool has_snapshot(const ResolvedImage& image, std::size_t layer, const std::string& ns) const;
    UnpackJob job_of(const ResolvedImage& image, std::size_t layer, const std::string& ns) const;
    UnpackOutcome unpack(const ResolvedImage& image, std::size_t layer, const std::string& ns,
                         ImageChanges& changes);
    void write_names(const ResolvedImage& image, const std::string& ns, ImageChanges& changes);
    void check_cri(const ResolvedImage& image, const std::set<std::string>& left,
                   ImageChanges& changes);

    const LeasedStore& store_;
    BakeTarget target_;
    WorkerPool& downloads_;
    BlobFetcher& fetcher_;
    Unpacker& unpacker_;
    bool cri_available_;
};

}  // namespace prebake::bake
