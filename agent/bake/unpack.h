#pragma once

#include <cstdint>
#include <string>
#include <tuple>

#include "agent/bake/once_map.h"
#include "agent/bake/resolve.h"
#include "agent/bake/session.h"
#include "agent/containerd/diff.h"

namespace prebake::bake {

/// Turns one stored layer into the tree of a prepared snapshot. The seam between having containerd
/// do it and writing the tree ourselves.
class LayerApplier {
  public:
    virtual ~LayerApplier() = default;
    /// Applies `layer` to the snapshot that `mounts` describe; returns the diffID of what was
    /// applied.
    virtual oci::Digest apply(const std::string& ns, const oci::Descriptor& layer,
                              const std::vector<containerd::Mount>& mounts) = 0;
};

/// The applier on containerd's Diff service: works with every snapshotter.
class DiffServiceApplier : public LayerApplier {
  public:
    explicit DiffServiceApplier(const Session& session) : session_(session) {}
    oci::Digest apply(const std::string& ns, const oci::Descriptor& layer,
                      const std::vector<containerd::Mount>& mounts) override;

  private:
    const Session& session_;
};

/// Builds chains of committed snapshots, each at most once per bake. Thread-safe.
class Unpacker {
  public:
    Unpacker(const Session& session, LayerApplier& applier)
        : session_(session), applier_(applier) {}

    enum class Outcome { unpacked, already_there };

    /// Makes the committed snapshot of layer `layer` of the image, in one namespace and
    /// snapshotter; the layers below must be done. @throws Error corrupt when the layer does not
    /// have the diffID that the image's config promises; nothing of it is then left.
    Outcome ensure(const ResolvedImage& image, std::size_t layer, const std::string& ns,
                   const std::string& snapshotter);

  private:
    Outcome build(const ResolvedImage& image, std::size_t layer,
                  const containerd::Snapshots& snapshots, const std::string& ns);

    const Session& session_;
    LayerApplier& applier_;
    OnceMap<std::tuple<std::string, std::string, oci::Digest>> once_;
};

}  // namespace prebake::bake
