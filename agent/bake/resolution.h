#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/resolve.h"
#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"

namespace prebake::bake {

/// Where the documents of one image come from.
class DocumentSource {
  public:
    virtual ~DocumentSource() = default;
    /// A manifest or index, verified. @throws Error when it cannot be had.
    virtual Document manifest(const oci::Descriptor& descriptor) = 0;
    /// An image config, verified. @throws Error when it cannot be had.
    virtual Document config(const oci::Descriptor& descriptor) = 0;
};

/// Follows `target` down to the manifest for the request's platform and its config.
/// @throws Error of `source`; unsupported and corrupt as resolve().
ResolvedImage resolve_from(const ImageRequest& request, const oci::Descriptor& target,
                           DocumentSource& source);

/// A document that one of the namespaces holds whole. @throws Error corrupt when it is damaged
/// there; too_large over `limit`.
std::optional<std::string> stored_bytes(const containerd::Connection& connection,
                                        const std::vector<std::string>& namespaces,
                                        const oci::Descriptor& descriptor, std::size_t limit);

}  // namespace prebake::bake
