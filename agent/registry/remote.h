#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/base/stream.h"
#include "agent/http/client.h"
#include "agent/oci/image.h"
#include "agent/oci/manifest.h"
#include "agent/oci/reference.h"
#include "agent/registry/blob_connections.h"
#include "agent/registry/credentials.h"
#include "agent/registry/hosts_directory.h"
#include "agent/registry/rate_limit.h"
#include "agent/registry/retry.h"

namespace prebake::registry {

/// Manifests and blobs of OCI registries (distribution-spec 1.1, pull). Blocking, thread-safe.
/// Every method throws Error: not_found, unauthenticated, permission_denied, rate_limited,
/// unavailable, timed_out, corrupt, too_large, unsupported, cancelled; retryable ones only after
/// the attempts of RetryPolicy.
class Remote {
  public:
    Remote(std::shared_ptr<http::Client> client, std::shared_ptr<CredentialSource> credentials,
           RetryOptions options, EndpointsOf endpoints = endpoints_of);
    ~Remote();
    Remote(const Remote&) = delete;
    Remote& operator=(const Remote&) = delete;

    /// The descriptor of what `reference` names now: by its digest if it has one, else by its tag.
    /// HEAD first, because Docker Hub counts each GET. GET decides if the registry does not answer
    /// HEAD with digest, size and type of a manifest: after another status or redirect at once,
    /// after a temporary failure at the next attempt. Only a refused password is not sent again.
    ///
    /// What HEAD gave is a claim, its size above all: see fetch_claimed().
    oci::Descriptor resolve(const oci::Reference& reference, const std::stop_token& stop);

    /// The bytes of the document that resolve() found, verified against its digest alone: some
    /// registries answer HEAD with the size of another representation. @throws Error not_found also
    /// if the digest is that of another one; fetch_named() gets the right one.
    std::string fetch_claimed(const oci::Reference& reference, const oci::Descriptor& claimed,
                              const std::stop_token& stop);

    /// What `reference` names now, by GET alone.
    oci::Document fetch_named(const oci::Reference& reference, const std::stop_token& stop);

    /// The bytes of a manifest or index, verified against size and digest.
    std::string fetch_manifest(const oci::Reference& repository, const oci::Descriptor& descriptor,
                               const std::stop_token& stop);

    /// A small blob (an image config), verified. @throws Error too_large over oci::kMaxConfigBytes.
    std::string fetch_small_blob(const oci::Reference& repository,
                                 const oci::Descriptor& descriptor, const std::stop_token& stop);

    /// The manifests that refer to `subject` in its repository, at most oci::kMaxIndexEntries: by
    /// the referrers API, or by the tag that stands in for it. Empty if there are none.
    std::vector<oci::Descriptor> referrers(const oci::Reference& repository,
                                           const oci::Digest& subject, const std::stop_token& stop);

    /// The bytes of a blob from `offset` to its declared size. After a failure the Source requests
    /// the rest (Range). If the registry does not answer that as it should, it reads the blob from
    /// the start and drops the known part. It throws corrupt if the registry finally sends less or
    /// more than declared. It does not verify the digest: the store does.
    /// It uses one of `connections`, which must live longer, until it is read to its end. For a
    /// large blob it also uses idle ones, if that is faster.
    std::unique_ptr<Source> open_blob(const oci::Reference& repository,
                                      const oci::Descriptor& descriptor, std::uint64_t offset,
                                      BlobConnections& connections, const std::stop_token& stop);

    /// The limits that registries reported with the manifests that they served so far, by
    /// registry.
    std::map<std::string, RateLimit> rate_limits() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace prebake::registry
