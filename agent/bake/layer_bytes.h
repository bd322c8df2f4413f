#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "agent/base/stream.h"
#include "agent/oci/manifest.h"

namespace prebake::bake {

/// The bytes of layers that are stored, or are being stored. Thread-safe.
class LayerBytes {
  public:
    virtual ~LayerBytes() = default;
    /// The bytes of the layer as they are stored; waits for them. @throws Error
    /// failed_precondition if its download failed; cancelled.
    virtual std::unique_ptr<Source> follow(const std::string& ns, const oci::Descriptor& layer,
                                           const std::stop_token& stop) = 0;
};

}  // namespace prebake::bake
