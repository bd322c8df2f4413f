#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "agent/base/stream.h"
#include "agent/http/client.h"
#include "agent/oci/manifest.h"
#include "agent/oci/reference.h"
#include "agent/registry/credentials.h"
#include "agent/registry/hosts_directory.h"
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
    /// HEAD first; GET only if the registry answers HEAD without digest, size or type.
    oci::Descriptor resolve(const oci::Reference& reference, const std::stop_token& stop);

    /// The bytes of a manifest or index, verified against size and digest.
    std::string fetch_manifest(const oci::Reference& repository, const oci::Descriptor& descriptor,
                               const std::stop_token& stop);

    /// A small blob (an image config), verified. @throws Error too_large over oci::kMaxConfigBytes.
    std::string fetch_small_blob(const oci::Reference& repository,
                                 const oci::Descriptor& descriptor, const std::stop_token& stop);

    /// The bytes of a blob from `offset` to its declared size. After a failure the Source requests
    /// the rest (Range); without Range support it reads again from the start and drops the known
    /// part. It throws corrupt if the registry finally sends less or more than declared. It does
    /// not verify the digest: the store does.
    std::unique_ptr<Source> open_blob(const oci::Reference& repository,
                                      const oci::Descriptor& descriptor, std::uint64_t offset,
                                      const std::stop_token& stop);

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace prebake::registry
