#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/containerd/images.h"
#include "agent/oci/image.h"
#include "agent/oci/platform.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Images as containerd has them, no matter who pulled them. Never asks a registry.
namespace prebake::store {

/// A document that one of the namespaces holds whole. @throws Error corrupt if it is damaged
/// there; too_large over `limit` bytes.
std::optional<std::string> stored_bytes(const containerd::Connection& connection,
                                        const std::vector<std::string>& namespaces,
                                        const oci::Descriptor& descriptor, std::size_t limit);

/// The documents of one image from the content store alone. Every method throws Error not_found,
/// with `next_step`, if no namespace has the document; else as stored_bytes().
class StoredDocuments final : public oci::DocumentSource {
  public:
    /// `image` is the name for messages.
    StoredDocuments(const containerd::Connection& connection, std::vector<std::string> namespaces,
                    std::string image, std::string next_step);

    oci::Document manifest(const oci::Descriptor& descriptor) override;
    oci::Document config(const oci::Descriptor& descriptor) override;

  private:
    oci::Document document(const char* what, const oci::Descriptor& descriptor,
                           std::size_t limit) const;

    const containerd::Connection& connection_;
    std::vector<std::string> namespaces_;
    std::string image_;
    std::string next_step_;
};

/// What the bake record would say of an image in `ns`: documents, layers with diffIDs and chain
/// IDs, no placements. For `platform`, from the index if the target is one.
/// @throws Error not_found if a document is missing; unsupported if it is not an image that can be
/// run; corrupt.
v1::BakedImage describe_stored(const containerd::Connection& connection, const std::string& ns,
                               const containerd::Image& image, const oci::Platform& platform);

/// Documents and layers of a resolved image, as the bake record has them: no name, no placements.
v1::BakedImage contents_of(const oci::Image& image);

}  // namespace prebake::store
