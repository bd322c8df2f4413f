#include "agent/registry/blob_source.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/registry/diagnosis.h"

namespace prebake::registry {
namespace {

/// Reads the number at the front of `text` and the one character behind it.
std::optional<std::uint64_t> take_number(std::string_view& text, char terminator) {
    std::uint64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (failure != std::errc{} || text.empty() || text.front() != terminator) return std::nullopt;
    text.remove_prefix(1);
    return number;
}

}  // namespace

std::optional<ContentRange> parse_content_range(std::string_view text) {
    constexpr std::string_view kUnit = "bytes ";
    if (!text.starts_with(kUnit)) return std::nullopt;
    text.remove_prefix(kUnit.size());
    const auto first = take_number(text, '-');
    if (!first || !take_number(text, '/')) return std::nullopt;
    if (text == "*") return ContentRange{.first = *first, .size = std::nullopt};
    std::uint64_t size = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return ContentRange{.first = *first, .size = size};
}

BlobSource::BlobSource(std::shared_ptr<RequestSender> sender,
                       std::shared_ptr<const RetryOptions> options, oci::Reference repository,
                       oci::Descriptor descriptor, std::uint64_t offset, Deadline deadline,
                       std::stop_token stop)
    : sender_(std::move(sender)),
      options_(std::move(options)),
      repository_(std::move(repository)),
      descriptor_(std::move(descriptor)),
      position_(offset),
      deadline_(deadline),
      stop_(std::move(stop)),
      subject_("blob " + descriptor_.digest.short_form() + " of " + repository_.name()),
      attempts_(*options_, subject_, stop_) {
    if (position_ > descriptor_.size) {
        throw Error(Errc::internal, subject_ + " was requested from an offset after its end");
    }
    if (position_ < descriptor_.size)
        in_context("cannot fetch " + subject_, [&] { ensure_open(); });
}

std::size_t BlobSource::read(std::span<std::byte> buffer) {
    return in_context("cannot fetch " + subject_, [&] {
        const std::uint64_t left = descriptor_.size - position_;
        buffer =
            buffer.first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), left)));
        std::size_t filled = 0;
        while (filled < buffer.size()) {
            ensure_open();
            try {
                const std::size_t got = response_->read(buffer.subspan(filled));
                if (got == 0) throw ended_early();
                filled += got;
                position_ += got;
                attempts_.progressed();
            } catch (const Error& error) {
                recover(error);
            }
        }
        if (position_ == descriptor_.size) expect_end();
        return filled;
    });
}

void BlobSource::ensure_open() {
    while (!response_) {
        try {
            open();
        } catch (const Error& error) {
            recover(error);
        }
    }
}

void BlobSource::open() {
    RepositoryRequest request{.method = http::Method::get,
                              .path = "blobs/" + descriptor_.digest.str(),
                              .headers = {},
                              .deadline = deadline_,
                              .storage = &origin_.storage};
    // Some servers fail whenever they are asked for a range: the last attempt is made without one.
    const bool asks_for_rest =
        position_ > 0 && !range_is_refused_ && !attempts_.is_last_of_several();
    if (asks_for_rest) {
        request.headers.emplace_back("Range", "bytes=" + std::to_string(position_) + "-");
    }
    std::unique_ptr<http::Response> response;
    std::uint64_t first = 0;
    try {
        response = sender_->send(repository_, request, stop_);
        first = first_byte(*response);
    } catch (const ResponseError& error) {
        if (!asks_for_rest || is_retryable(error.code())) throw;
        range_is_refused_ = true;
        return open();
    }
    origin_.entity_tag = http::find_header(response->headers, "ETag").value_or("");
    origin_.may_serve_ranges =
        lower_case(http::find_header(response->headers, "Accept-Ranges").value_or("")) != "none";
    response_ = std::move(response);
    skip(position_ - first);
}

/// Proxies answer 200 with a page of their own. It must not become the beginning of a layer.
void BlobSource::refuse_page(http::Response& response) {
    const std::string said =
        diagnosis(read_up_to(response, kMaxErrorBytes).value_or(""), response.secrets);
    throw ResponseError(Error(Errc::unsupported,
                              "the registry sends a web page instead of it" +
                                  (said.empty() ? "" : " (" + said + ")"),
                              "check which proxies are between this machine and the registry"),
                        response.status, {});
}

/// Where the body of the response begins, at most at position_. @throws ResponseError if it cannot
/// be the rest, or the whole.
std::uint64_t BlobSource::first_byte(http::Response& response) const {
    const auto require_length = [&](std::uint64_t first) {
        // Subtracted, because a sum with the registry's length could wrap around.
        const std::uint64_t expected = descriptor_.size - first;
        const std::uint64_t length = response.content_length.value_or(expected);
        const std::string type = http::find_header(response.headers, "Content-Type").value_or("");
        if (length != expected && lower_case(type).starts_with("text/html")) refuse_page(response);
        if (length <= expected) return first;
        throw ResponseError(longer_than_declared(), response.status, {});
    };
    if (response.status == 200) return require_length(0);
    const Error unusable(
        response.status == 206 ? Errc::corrupt : Errc::unsupported,
        response.status == 206
            ? "the registry sends another range than the requested one, from byte " +
                  std::to_string(position_)
            : "the registry answers with the unexpected status " + std::to_string(response.status));
    const auto range =
        parse_content_range(http::find_header(response.headers, "Content-Range").value_or(""));
    // Several ranges (multipart/byteranges) have no such header.
    const bool is_rest = response.status == 206 && range && range->first <= position_ &&
                         range->size.value_or(descriptor_.size) == descriptor_.size;
    if (!is_rest) throw ResponseError(unusable, response.status, {});
    return require_length(range->first);
}

void BlobSource::skip(std::uint64_t bytes) {
    std::array<std::byte, 65536> scratch;
    while (bytes > 0) {
        const std::size_t wanted =
            static_cast<std::size_t>(std::min<std::uint64_t>(bytes, scratch.size()));
        const std::size_t got = response_->read(std::span(scratch).first(wanted));
        if (got == 0) throw ended_early();
        bytes -= got;
    }
}

void BlobSource::expect_end() {
    if (!response_) return;
    const auto response = std::move(response_);
    std::array<std::byte, 1> more;
    std::size_t got = 0;
    try {
        got = response->read(more);  // also lets the connection return to the pool
    } catch (const Error&) {
        // All declared bytes have arrived; an error at the end of the connection does not matter.
        return;
    }
    if (got > 0) throw longer_than_declared();
}

Error BlobSource::ended_early() {
    ended_early_ = true;
    return Error(Errc::unavailable, "the registry ends it after " + std::to_string(position_) +
                                        " of " + std::to_string(descriptor_.size) + " bytes");
}

Error BlobSource::longer_than_declared() const {
    return Error(Errc::corrupt,
                 "longer than declared: the registry has more than the " +
                     std::to_string(descriptor_.size) + " bytes that the manifest says",
                 "push the image again");
}

void BlobSource::recover(const Error& error) {
    response_.reset();
    const bool truncated = std::exchange(ended_early_, false);
    const bool is_over = deadline_ && std::chrono::steady_clock::now() >= *deadline_;
    if (!is_over && attempts_.wait_after(error)) return;
    const Error last = attempts_.final_error(error);
    if (!truncated) throw Error(last);
    throw Error(Errc::corrupt, "truncated: " + last.message(), "push the image again");
}

}  // namespace prebake::registry
