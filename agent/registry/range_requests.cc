#include "agent/registry/range_requests.h"

#include <utility>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/registry/retry.h"

namespace prebake::registry {
namespace {

/// Whether another URL for the same blob cannot help: the server is there, and busy.
bool is_busy(const Error& error) {
    return is_retryable(error.code()) && dynamic_cast<const ResponseError*>(&error) != nullptr;
}

}  // namespace

RangeRequests::RangeRequests(std::shared_ptr<RequestSender> sender, oci::Reference repository,
                             oci::Descriptor descriptor, std::stop_token stop)
    : sender_(std::move(sender)),
      repository_(std::move(repository)),
      descriptor_(std::move(descriptor)),
      stop_(std::move(stop)) {}

void RangeRequests::learn(const BlobOrigin& origin) {
    const std::scoped_lock lock(mutex_);
    entity_tag_ = origin.entity_tag;
    if (!may_remember_storage_) return;
    storage_ = origin.storage;
    storage_has_worked_ = false;
}

std::unique_ptr<http::Response> RangeRequests::send(std::uint64_t begin, std::uint64_t end) {
    const http::Headers headers{
        {"Range", "bytes=" + std::to_string(begin) + "-" + std::to_string(end - 1)}};
    std::unique_ptr<http::Response> response = from_storage(headers);
    if (!response) response = from_registry(headers);
    return is_as_asked(*response, begin, end) ? std::move(response) : nullptr;
}

/// Null if there is no location, or it does not work any more.
std::unique_ptr<http::Response> RangeRequests::from_storage(const http::Headers& headers) {
    std::optional<StorageLocation> storage;
    {
        const std::scoped_lock lock(mutex_);
        storage = storage_;
    }
    if (!storage) return nullptr;
    try {
        auto response = sender_->get_from_storage(*storage, headers, stop_);
        const std::scoped_lock lock(mutex_);
        storage_has_worked_ = true;
        return response;
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled || is_busy(error)) throw;
    }
    const std::scoped_lock lock(mutex_);
    if (storage_ && storage_->url == storage->url) {
        // One that never worked twice is for one request: its signature may cover the range.
        may_remember_storage_ = storage_has_worked_;
        storage_.reset();
    }
    return nullptr;
}

std::unique_ptr<http::Response> RangeRequests::from_registry(const http::Headers& headers) {
    std::optional<StorageLocation> storage;
    auto response = sender_->send(repository_,
                                  {.method = http::Method::get,
                                   .path = "blobs/" + descriptor_.digest.str(),
                                   .headers = headers,
                                   .storage = &storage},
                                  stop_);
    const std::scoped_lock lock(mutex_);
    if (may_remember_storage_ && storage) {
        storage_ = std::move(storage);
        storage_has_worked_ = false;
    }
    return response;
}

bool RangeRequests::is_as_asked(const http::Response& response, std::uint64_t begin,
                                std::uint64_t end) {
    if (response.status != 206) return false;
    const auto header = [&](std::string_view name) {
        return http::find_header(response.headers, name).value_or("");
    };
    // Several ranges (multipart/byteranges) have no such header.
    const auto range = parse_content_range(header("Content-Range"));
    if (!range || range->first != begin) return false;
    if (range->size.value_or(descriptor_.size) != descriptor_.size) return false;
    if (response.content_length.value_or(0) > end - begin) return false;
    // A range of compressed bytes is none of the blob's.
    const std::string encoding = lower_case(header("Content-Encoding"));
    if (!encoding.empty() && encoding != "identity") return false;
    const std::string tag = header("ETag");
    const std::scoped_lock lock(mutex_);
    return tag.empty() || entity_tag_.empty() || tag == entity_tag_;
}

}  // namespace prebake::registry
