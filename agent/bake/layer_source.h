#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include "agent/base/stream.h"
#include "agent/oci/manifest.h"
#include "agent/oci/reference.h"
#include "agent/registry/blob_connections.h"
#include "agent/registry/remote.h"

namespace prebake::bake {

/// Where the bytes of a layer come from that no namespace of containerd has. Thread-safe.
class LayerSource {
  public:
    virtual ~LayerSource() = default;
    /// The bytes of `layer` from `offset` to its end. Their digest is not verified: containerd
    /// verifies what it stores. @throws Error not_found, or as registry::Remote.
    virtual std::unique_ptr<Source> open(const oci::Reference& repository,
                                         const oci::Descriptor& layer, std::uint64_t offset,
                                         const std::stop_token& stop) = 0;
};

/// The registry that the image's reference names.
class RegistryLayers final : public LayerSource {
  public:
    /// Both must live longer, and longer than the layers.
    RegistryLayers(registry::Remote& remote, registry::BlobConnections& connections)
        : remote_(remote), connections_(connections) {}
    std::unique_ptr<Source> open(const oci::Reference& repository, const oci::Descriptor& layer,
                                 std::uint64_t offset, const std::stop_token& stop) override;

  private:
    registry::Remote& remote_;
    registry::BlobConnections& connections_;
};

/// No source but this disk: open() always throws not_found.
class NoOtherLayers final : public LayerSource {
  public:
    std::unique_ptr<Source> open(const oci::Reference& repository, const oci::Descriptor& layer,
                                 std::uint64_t offset, const std::stop_token& stop) override;
};

}  // namespace prebake::bake
