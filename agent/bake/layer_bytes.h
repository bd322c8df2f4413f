#pragma once

#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "agent/base/slots.h"
#include "agent/base/stream.h"
#include "agent/oci/manifest.h"

namespace prebake::bake {

/// The bytes of layers that are stored, or are being stored. Thread-safe.
class LayerBytes {
  public:
    virtual ~LayerBytes() = default;
    /// The bytes of the layer as they are stored; waits until some are. Reads of what is returned
    /// give `slot` up while they wait for more; it must be held when they begin, and live longer.
    /// @throws Error failed_precondition if its download failed; cancelled.
    virtual std::unique_ptr<Source> follow(const std::string& ns, const oci::Descriptor& layer,
                                           const std::stop_token& stop,
                                           std::unique_lock<Slots>& slot) = 0;
};

}  // namespace prebake::bake
