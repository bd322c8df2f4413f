#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <string>

#include "agent/bake/document_cache.h"
#include "agent/bake/image_list.h"
#include "agent/containerd/connection.h"
#include "agent/oci/image.h"
#include "agent/registry/remote.h"

namespace prebake::bake {

/// Documents from the request's namespaces, else from the registry. The referenced objects must
/// live longer.
class RegistryDocuments final : public oci::DocumentSource {
  public:
    RegistryDocuments(const ImageRequest& request, registry::Remote& remote,
                      const containerd::Connection& connection, DocumentCache& cache)
        : request_(request), remote_(remote), connection_(connection), cache_(cache) {}

    /// What the request's reference names now. The registry claims it, and the document proves it:
    /// its size, its kind, and that there is one. A claim that cannot be proved does not count:
    /// then the name alone decides.
    /// @throws Error as Remote; of two failures, that of the document which the registry claimed.
    oci::Descriptor target();

    oci::Document manifest(const oci::Descriptor& descriptor) override;
    oci::Document config(const oci::Descriptor& descriptor) override;

  private:
    oci::Document named();
    oci::Document named_by_get(const std::exception_ptr& earlier_failure);
    oci::Document document(const oci::Descriptor& descriptor, std::size_t limit,
                           const std::function<std::string()>& fetch);
    std::optional<std::string> stored_document(const oci::Descriptor& descriptor,
                                               std::size_t limit) const;

    const ImageRequest& request_;
    registry::Remote& remote_;
    const containerd::Connection& connection_;
    DocumentCache& cache_;
    std::optional<oci::Document> named_;
};

}  // namespace prebake::bake
