#include "agent/bake/layer_source.h"

#include "agent/base/error.h"

namespace prebake::bake {

std::unique_ptr<Source> RegistryLayers::open(const oci::Reference& repository,
                                             const oci::Descriptor& layer, std::uint64_t offset,
                                             const std::stop_token& stop) {
    return remote_.open_blob(repository, layer, offset, connections_, stop);
}

std::unique_ptr<Source> NoOtherLayers::open(const oci::Reference& /*repository*/,
                                            const oci::Descriptor& layer, std::uint64_t /*offset*/,
                                            const std::stop_token& /*stop*/) {
    throw Error(Errc::not_found, "blob " + layer.digest.str() + " is not on this disk");
}

}  // namespace prebake::bake
