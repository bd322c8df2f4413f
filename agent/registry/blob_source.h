#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/stream.h"
#include "agent/oci/manifest.h"
#include "agent/oci/reference.h"
#include "agent/registry/request_sender.h"
#include "agent/registry/retry.h"

namespace prebake::registry {

/// First byte and whole size in "bytes 100-199/200" (RFC 9110 section 14.4).
struct ContentRange {
    std::uint64_t first = 0;
    std::optional<std::uint64_t> size;  ///< nothing for "*"

    bool operator==(const ContentRange&) const = default;
};
std::optional<ContentRange> parse_content_range(std::string_view text);

/// Who served a blob.
struct BlobOrigin {
    std::optional<StorageLocation> storage = {};  ///< if the registry redirected to it
    std::string entity_tag = {};                  ///< the ETag header; empty: none
    bool may_serve_ranges = true;                 ///< false: it says that it does not
};

/// The bytes of one blob from an offset, over as many requests as needed: Remote::open_blob().
class BlobSource : public Source {
  public:
    using Deadline = std::optional<std::chrono::steady_clock::time_point>;

    /// Sends the first request, unless there is nothing to fetch. All requests end at `deadline`.
    BlobSource(std::shared_ptr<RequestSender> sender, std::shared_ptr<const RetryOptions> options,
               oci::Reference repository, oci::Descriptor descriptor, std::uint64_t offset,
               Deadline deadline, std::stop_token stop);

    std::size_t read(std::span<std::byte> buffer) override;
    /// Of the latest response.
    const BlobOrigin& origin() const { return origin_; }

  private:
    void ensure_open();
    void open();
    [[noreturn]] static void refuse_page(http::Response& response);
    std::uint64_t first_byte(http::Response& response) const;
    void skip(std::uint64_t bytes);
    void expect_end();
    Error ended_early();
    Error longer_than_declared() const;
    /// Returns when the next attempt is due. @throws Error if there is none.
    void recover(const Error& error);

    std::shared_ptr<RequestSender> sender_;
    std::shared_ptr<const RetryOptions> options_;
    oci::Reference repository_;
    oci::Descriptor descriptor_;
    std::uint64_t position_;
    Deadline deadline_;
    std::stop_token stop_;
    std::string subject_;  ///< "blob sha256:0123456789ab of docker.io/library/nginx"
    Attempts attempts_;
    std::unique_ptr<http::Response>
        response_;  ///< null: nothing is open; the next one starts at position_
    BlobOrigin origin_;
    bool ended_early_ = false;
    bool range_is_refused_ = false;
};

}  // namespace prebake::registry
