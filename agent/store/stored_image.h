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

/// Images in containerd's store, baked or pulled. No registry is asked.
namespace prebake::store {

/// A document from the first namespace that has all of it; nothing if none has. @throws Error
/// corrupt if it is damaged there; too_large over `limit` bytes.
std::optional<std::string> stored_bytes(const containerd::Connection& connection,
                                        const std::vector<std::string>& namespaces,
                                        const oci::Descriptor& descriptor, std::size_t limit);

/// The documents of one image from the content store. Every method throws Error not_found, with
/// `next_step`, if no namespace has the document; otherwise as stored_bytes().
class StoredDocuments final : public oci::DocumentSource {
  public:
    /// `image` is the name in messages.
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

/// The bake record's entry for an image in `ns`: documents, layers with diffIDs and chain IDs, no
/// placements. If the target is an index, for `platform`.
/// @throws Error not_found if a document is missing; unsupported if it is not an image that can be
/// run; corrupt.
v1::BakedImage describe_stored(const containerd::Connection& connection, const std::string& ns,
                               const containerd::Image& image, const oci::Platform& platform);

/// True if `target` leads to this config for `platform`, so that CRI's name by image ID may point
/// at it. False also if a document of it is missing or damaged. @throws Error if containerd does
/// not answer.
bool leads_to_config(const containerd::Connection& connection, const std::string& ns,
                     const oci::Descriptor& target, const oci::Platform& platform,
                     const oci::Digest& config);

void set_document(v1::Document& out, const oci::Descriptor& descriptor);
/// @throws Error usage if the digest is malformed.
oci::Descriptor descriptor_of(const v1::Document& document);

/// The bake record's entry for a resolved image: documents and layers, no name, no placements.
v1::BakedImage contents_of(const oci::Image& image);

}  // namespace prebake::store
