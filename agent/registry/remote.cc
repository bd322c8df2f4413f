#include "agent/registry/remote.h"

#include <algorithm>
#include <span>
#include <type_traits>
#include <utility>

#include "agent/base/error.h"
#include "agent/registry/blob_source.h"
#include "agent/registry/request_sender.h"
#include "agent/registry/retry.h"
#include "agent/registry/status.h"

namespace prebake::registry {
namespace {

constexpr std::string_view kManifestTypes =
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

/// How long one request for a document may take: at most 8 MiB, which need 35 kB a second.
constexpr std::chrono::minutes kDocumentTime{4};

std::chrono::steady_clock::time_point document_deadline() {
    return std::chrono::steady_clock::now() + kDocumentTime;
}

std::string media_type_of(const http::Response& response) {
    std::string type = http::find_header(response.headers, "Content-Type").value_or("");
    type.resize(std::min(type.find(';'), type.size()));
    const auto end = type.find_last_not_of(" \t");
    type.resize(end == std::string::npos ? 0 : end + 1);
    return type;
}

/// Docker-Content-Digest; nothing if it is missing or not a sha256.
std::optional<oci::Digest> claimed_digest(const http::Response& response) {
    const auto header = http::find_header(response.headers, "Docker-Content-Digest");
    return header ? oci::Digest::try_parse(*header) : std::nullopt;
}

Error other_digest(const oci::Digest& expected, const oci::Digest& actual) {
    return Error(Errc::corrupt, "the registry serves " + actual.str() + " where " + expected.str() +
                                    " was asked for");
}

void verify(std::string_view bytes, const oci::Descriptor& descriptor) {
    if (bytes.size() != descriptor.size) {
        throw Error(Errc::corrupt, "expected " + std::to_string(descriptor.size) +
                                       " bytes, the registry sent " + std::to_string(bytes.size()));
    }
    const oci::Digest actual = oci::Digest::of(bytes);
    if (actual != descriptor.digest) {
        throw Error(Errc::corrupt, "expected the digest " + descriptor.digest.str() +
                                       ", the bytes that the registry sent have " + actual.str());
    }
}

Error over_limit(std::size_t limit) {
    return Error(Errc::too_large,
                 "it is larger than the " + std::to_string(limit) + " bytes that prebake accepts");
}

}  // namespace

class Remote::Impl {
  public:
    Impl(std::shared_ptr<http::Client> client, std::shared_ptr<CredentialSource> credentials,
         RetryOptions options, EndpointsOf endpoints)
        : sender_(std::make_shared<RequestSender>(std::move(client), std::move(credentials),
                                                  std::move(endpoints))),
          options_(std::make_shared<const RetryOptions>(std::move(options))) {}

    oci::Descriptor resolve(const oci::Reference& reference, const std::stop_token& stop) {
        return attempt("resolve", reference.str(), stop, [&] {
            const std::string which =
                reference.digest ? reference.digest->str() : reference.tag.value_or("latest");
            RepositoryRequest request{.method = http::Method::head,
                                      .path = "manifests/" + which,
                                      .headers = {{"Accept", std::string(kManifestTypes)}},
                                      .expected_error_status = 405,
                                      .resolves = !reference.digest,
                                      .deadline = document_deadline()};
            auto descriptor =
                from_header(*sender_->send(reference, request, stop), reference.digest);
            if (descriptor) return *descriptor;
            request.method = http::Method::get;
            request.expected_error_status = 0;
            return from_body(*sender_->send(reference, request, stop), reference.digest);
        });
    }

    std::string fetch_manifest(const oci::Reference& repository, const oci::Descriptor& descriptor,
                               const std::stop_token& stop) {
        RepositoryRequest request{.method = http::Method::get,
                                  .path = "manifests/" + descriptor.digest.str(),
                                  .headers = {{"Accept", descriptor.media_type + ", */*"}}};
        const std::string subject =
            "manifest " + descriptor.digest.short_form() + " of " + repository.name();
        return attempt("fetch", subject, stop, [&] {
            if (descriptor.size > oci::kMaxManifestBytes) throw over_limit(oci::kMaxManifestBytes);
            request.deadline = document_deadline();
            const auto response = sender_->send(repository, request, stop);
            auto bytes = read_up_to(*response, descriptor.size);
            if (!bytes) {
                throw Error(Errc::corrupt, "longer than declared: expected " +
                                               std::to_string(descriptor.size) +
                                               " bytes, the registry sends more");
            }
            verify(*bytes, descriptor);
            return *std::move(bytes);
        });
    }

    std::string fetch_small_blob(const oci::Reference& repository,
                                 const oci::Descriptor& descriptor, const std::stop_token& stop) {
        const std::string context =
            "cannot fetch blob " + descriptor.digest.short_form() + " of " + repository.name();
        if (descriptor.size > oci::kMaxConfigBytes) {
            throw over_limit(oci::kMaxConfigBytes).within(context);
        }
        BlobSource source(sender_, options_, repository, descriptor, 0, document_deadline(), stop);
        std::string bytes(descriptor.size, '\0');
        source.read(std::as_writable_bytes(std::span(bytes)));
        in_context(context, [&] { verify(bytes, descriptor); });
        return bytes;
    }

    std::unique_ptr<Source> open_blob(const oci::Reference& repository,
                                      const oci::Descriptor& descriptor, std::uint64_t offset,
                                      const std::stop_token& stop) {
        return std::make_unique<BlobSource>(sender_, options_, repository, descriptor, offset,
                                            std::nullopt, stop);
    }

  private:
    template <typename Work>
    std::invoke_result_t<Work> attempt(std::string_view verb, const std::string& subject,
                                       const std::stop_token& stop, Work&& work) {
        return in_context("cannot " + std::string(verb) + " " + subject, [&] {
            return with_retries(Attempts(*options_, subject, stop), std::forward<Work>(work));
        });
    }

    /// Nothing if the header is incomplete, or HEAD is not supported.
    static std::optional<oci::Descriptor> from_header(http::Response& response,
                                                      const std::optional<oci::Digest>& asked) {
        if (response.status == 405) return std::nullopt;
        const auto claimed = claimed_digest(response);
        if (asked && claimed && *asked != *claimed) throw other_digest(*asked, *claimed);
        const std::string media_type = media_type_of(response);
        // Some proxies answer every HEAD with Content-Length: 0.
        if (!claimed || media_type.empty() || response.content_length.value_or(0) == 0) {
            return std::nullopt;
        }
        return oci::Descriptor{.media_type = media_type,
                               .digest = *claimed,
                               .size = *response.content_length,
                               .annotations = {},
                               .platform = {}};
    }

    static oci::Descriptor from_body(http::Response& response,
                                     const std::optional<oci::Digest>& asked) {
        const auto bytes = read_up_to(response, oci::kMaxManifestBytes);
        if (!bytes) throw over_limit(oci::kMaxManifestBytes);
        const oci::Digest actual = oci::Digest::of(*bytes);
        if (asked && *asked != actual) throw other_digest(*asked, actual);
        return oci::Descriptor{.media_type = media_type_of(response),
                               .digest = actual,
                               .size = bytes->size(),
                               .annotations = {},
                               .platform = {}};
    }

    std::shared_ptr<RequestSender> sender_;
    std::shared_ptr<const RetryOptions> options_;
};

Remote::Remote(std::shared_ptr<http::Client> client, std::shared_ptr<CredentialSource> credentials,
               RetryOptions options, EndpointsOf endpoints)
    : impl_(std::make_unique<Impl>(std::move(client), std::move(credentials), std::move(options),
                                   std::move(endpoints))) {}

Remote::~Remote() = default;

oci::Descriptor Remote::resolve(const oci::Reference& reference, const std::stop_token& stop) {
    return impl_->resolve(reference, stop);
}

std::string Remote::fetch_manifest(const oci::Reference& repository,
                                   const oci::Descriptor& descriptor, const std::stop_token& stop) {
    return impl_->fetch_manifest(repository, descriptor, stop);
}

std::string Remote::fetch_small_blob(const oci::Reference& repository,
                                     const oci::Descriptor& descriptor,
                                     const std::stop_token& stop) {
    return impl_->fetch_small_blob(repository, descriptor, stop);
}

std::unique_ptr<Source> Remote::open_blob(const oci::Reference& repository,
                                          const oci::Descriptor& descriptor, std::uint64_t offset,
                                          const std::stop_token& stop) {
    return impl_->open_blob(repository, descriptor, offset, stop);
}

}  // namespace prebake::registry
