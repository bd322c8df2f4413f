#pragma once

#include <cstdint>
#include <string>
#include <tuple>

#include "agent/bake/leased_store.h"
#include "agent/bake/once_map.h"
#include "agent/bake/resolve.h"
#include "agent/containerd/diff.h"

namespace prebake::bake {

/// Writes the tree of one stored layer into a prepared snapshot. Whether containerd does that or we
/// do is up to the implementation.
class LayerApplier {
  public:
    virtual ~LayerApplier() = default;
    /// Applies `layer` to the snapshot with these mounts. Returns the diffID of what was applied.
    virtual oci::Digest apply(const std::string& ns, const oci::Descriptor& layer,
                              const std::vector<containerd::Mount>& mounts) = 0;
};

/// Uses containerd's Diff service, which works with every snapshotter.
class DiffServiceApplier : public LayerApplier {
  public:
    explicit DiffServiceApplier(const LeasedStore& store) : store_(store) {}
    oci::Digest apply(const std::string& ns, const oci::Descriptor& layer,
                      const std::vector<containerd::Mount>& mounts) override;

  private:
    const LeasedStore& store_;
};

enum class UnpackOutcome { unpacked, already_there };

/// Builds chains of committed snapshots, each at most once per bake. Thread-safe.
class Unpacker {
  public:
    Unpacker(const LeasedStore& store, LayerApplier& applier) : store_(store), applier_(applier) {}

    /// Makes the committed snapshot of layer `layer` of the image, in one namespace and
    /// snapshotter; the layers below must be done. @throws Error corrupt if the layer does not have
    /// the diffID that the image's config names; nothing of it is then left.
    UnpackOutcome ensure(const ResolvedImage& image, std::size_t layer, const std::string& ns,
                         const std::string& snapshotter);

  private:
    UnpackOutcome build(const ResolvedImage& image, std::size_t layer,
                        const containerd::Snapshots& snapshots, const std::string& ns);

    /// @throws Error corrupt if the layer has another diffID.
    void apply(const ResolvedImage& image, std::size_t layer, const std::string& ns,
               const std::vector<containerd::Mount>& mounts);

    const LeasedStore& store_;
    LayerApplier& applier_;
    OnceMap<std::tuple<std::string, std::string, oci::Digest>> once_;
};

}  // namespace prebake::bake
