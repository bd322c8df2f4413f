#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/oci/manifest.h"
#include "agent/oci/reference.h"
#include "agent/registry/blob_source.h"
#include "agent/registry/request_sender.h"

namespace prebake::registry {

/// Requests for parts of one blob, each sent once. They go where the registry has redirected an
/// earlier one to, as long as that works: the registry need not be asked for each. Thread-safe.
class RangeRequests {
  public:
    /// A stop request to `stop` ends all of them.
    RangeRequests(std::shared_ptr<RequestSender> sender, oci::Reference repository,
                  oci::Descriptor descriptor, std::stop_token stop);

    /// Who serves the blob, by another response.
    void learn(const BlobOrigin& origin);

    /// A response whose body begins at `begin` and ends at `end` or before. Null if the server does
    /// not serve that: it has sent the whole blob, another range, or another version.
    /// @throws Error as RequestSender::send().
    std::unique_ptr<http::Response> send(std::uint64_t begin, std::uint64_t end);

  private:
    std::unique_ptr<http::Response> from_storage(const http::Headers& headers);
    std::unique_ptr<http::Response> from_registry(const http::Headers& headers);
    bool is_as_asked(const http::Response& response, std::uint64_t begin, std::uint64_t end);

    std::shared_ptr<RequestSender> sender_;
    oci::Reference repository_;
    oci::Descriptor descriptor_;
    std::stop_token stop_;
    std::mutex mutex_;
    std::optional<StorageLocation> storage_;
    bool storage_has_worked_ = false;  ///< for a second request
    bool may_remember_storage_ = true;
    std::string entity_tag_;
};

}  // namespace prebake::registry
