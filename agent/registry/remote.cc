#include "agent/registry/remote.h"

#include <algorithm>
#include <mutex>
#include <span>
#include <type_traits>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/oci/json_field.h"
#include "agent/registry/blob_source.h"
#include "agent/registry/diagnosis.h"
#include "agent/registry/ranged_source.h"
#include "agent/registry/referrers.h"
#include "agent/registry/request_sender.h"
#include "agent/registry/retry.h"

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

bool is_manifest(std::string_view media_type) {
    const oci::MediaKind kind = oci::media_kind(media_type);
    return kind == oci::MediaKind::manifest || kind == oci::MediaKind::index;
}

/// Nothing if the header of an answer to HEAD cannot be used.
std::optional<oci::Descriptor> from_header(const http::Response& response,
                                           const std::optional<oci::Digest>& asked) {
    const auto header = http::find_header(response.headers, "Docker-Content-Digest");
    const auto claimed = header ? oci::Digest::try_parse(*header) : std::nullopt;
    const std::string media_type = media_type_of(response);
    // Some proxies answer every HEAD with Content-Length: 0.
    const std::uint64_t size = response.content_length.value_or(0);
    const bool is_other = asked && asked != claimed;
    if (!claimed || is_other || !is_manifest(media_type) || size == 0) return std::nullopt;
    return oci::Descriptor{.media_type = media_type,
                           .digest = *claimed,
                           .size = size,
                           .annotations = {},
                           .platform = {}};
}

bool is_of_token_service(const Error& error) {
    const auto* response = dynamic_cast<const ResponseError*>(&error);
    return response != nullptr && response->status() == 0;
}

/// Whether a GET may succeed at once where HEAD failed. A temporary failure is waited for first.
bool get_decides_now(const Error& head_failure) {
    if (is_retryable(head_failure.code()) || is_of_token_service(head_failure)) return false;
    // A server that answers HEAD with a body alone does not speak HTTP.
    return head_failure.code() == Errc::corrupt ||
           dynamic_cast<const ResponseError*>(&head_failure) != nullptr;
}

Error other_digest(const oci::Digest& expected, const oci::Digest& actual) {
    return Error(Errc::corrupt, "the registry serves " + actual.str() + " where " + expected.str() +
                                    " was asked for");
}

void require_digest(std::string_view bytes, const oci::Digest& expected) {
    const oci::Digest actual = oci::Digest::of(bytes);
    if (actual == expected) return;
    throw Error(Errc::corrupt, "expected the digest " + expected.str() +
                                   ", the bytes that the registry sent have " + actual.str());
}

void verify(std::string_view bytes, const oci::Descriptor& descriptor) {
    if (bytes.size() != descriptor.size) {
        throw Error(Errc::corrupt, "expected " + std::to_string(descriptor.size) +
                                       " bytes, the registry sent " + std::to_string(bytes.size()));
    }
    require_digest(bytes, descriptor.digest);
}

Error over_limit(std::size_t limit) {
    return Error(Errc::too_large,
                 "it is larger than the " + std::to_string(limit) + " bytes that prebake accepts");
}

RepositoryRequest by_digest(const oci::Descriptor& manifest) {
    return {.method = http::Method::get,
            .path = "manifests/" + manifest.digest.str(),
            .headers = {{"Accept", manifest.media_type + ", */*"}}};
}

/// For messages.
std::string manifest_of(const oci::Reference& repository, const oci::Descriptor& manifest) {
    return "manifest " + manifest.digest.short_form() + " of " + repository.name();
}

std::string manifest_bytes(http::Response& response) {
    auto bytes = read_up_to(response, oci::kMaxManifestBytes);
    if (!bytes) throw over_limit(oci::kMaxManifestBytes);
    return *std::move(bytes);
}

/// What a manifest says that it is; empty if it does not, or is none.
std::string own_type_of(std::string_view bytes) {
    try {
        const oci::JsonDocument document(bytes, oci::kMaxManifestBytes);
        const oci::JsonField root = document.root();
        std::string type = root.member("mediaType").text();
        if (is_manifest(type)) return type;
        if (root.has("manifests")) return "application/vnd.oci.image.index.v1+json";
        if (root.has("layers")) return "application/vnd.oci.image.manifest.v1+json";
    } catch (const Error&) {
        return {};  // not JSON
    }
    return {};
}

/// The type of a document. Some proxies send manifests as something else.
std::string manifest_type(const http::Response& response, std::string_view bytes) {
    const std::string media_type = media_type_of(response);
    const bool is_known =
        is_manifest(media_type) || oci::media_kind(media_type) == oci::MediaKind::schema1;
    std::string type = is_known ? media_type : own_type_of(bytes);
    if (!type.empty()) return type;
    const std::string said = diagnosis(bytes, response.secrets);
    throw Error(Errc::unsupported,
                "the registry sends no image manifest, but " +
                    (media_type.empty() ? "a document without a type" : shorten(media_type, 100)) +
                    (said.empty() ? "" : " (" + said + ")"),
                "check that this is an OCI registry, and which proxies are in between");
}

oci::Document from_body(http::Response& response, const std::optional<oci::Digest>& asked) {
    std::string bytes = manifest_bytes(response);
    const oci::Digest actual = oci::Digest::of(bytes);
    if (asked && *asked != actual) throw other_digest(*asked, actual);
    oci::Descriptor descriptor{.media_type = manifest_type(response, bytes),
                               .digest = actual,
                               .size = bytes.size(),
                               .annotations = {},
                               .platform = {}};
    const std::uint64_t size = descriptor.size;
    return {.descriptor = std::move(descriptor), .bytes = std::move(bytes), .bytes_fetched = size};
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
        bool by_head = true;
        return attempt("resolve", reference.str(), stop, [&] {
            try {
                if (by_head) {
                    const auto response = send_named(http::Method::head, reference, stop);
                    const auto claimed = from_header(*response, reference.digest);
                    if (claimed) return *claimed;
                    by_head = false;
                }
            } catch (const Error& error) {
                by_head = is_of_token_service(error);
                if (!get_decides_now(error)) throw;
            }
            return from_body(*send_named(http::Method::get, reference, stop), reference.digest)
                .descriptor;
        });
    }

    oci::Document fetch_named(const oci::Reference& reference, const std::stop_token& stop) {
        return attempt("fetch", reference.str(), stop, [&] {
            return from_body(*send_named(http::Method::get, reference, stop), reference.digest);
        });
    }

    std::string fetch_claimed(const oci::Reference& reference, const oci::Descriptor& claimed,
                              const std::stop_token& stop) {
        return attempt("fetch", manifest_of(reference, claimed), stop, [&] {
            std::string bytes = manifest_bytes(*send(reference, by_digest(claimed), stop));
            require_digest(bytes, claimed.digest);
            return bytes;
        });
    }

    std::string fetch_manifest(const oci::Reference& repository, const oci::Descriptor& descriptor,
                               const std::stop_token& stop) {
        return attempt("fetch", manifest_of(repository, descriptor), stop, [&] {
            if (descriptor.size > oci::kMaxManifestBytes) throw over_limit(oci::kMaxManifestBytes);
            const auto response = send(repository, by_digest(descriptor), stop);
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

    std::vector<oci::Descriptor> referrers(const oci::Reference& repository,
                                           const oci::Digest& subject,
                                           const std::stop_token& stop) {
        auto listed = list_referrers(*sender_, *options_, repository, subject, stop);
        if (listed) return *std::move(listed);
        const oci::Reference tagged{.registry = repository.registry,
                                    .repository = repository.repository,
                                    .tag = referrers_tag(subject),
                                    .digest = {}};
        try {
            const oci::Document index = fetch_named(tagged, stop);
            return oci::parse_index(index.descriptor.media_type, index.bytes).manifests;
        } catch (const Error& error) {
            if (error.code() == Errc::not_found) return {};
            throw;
        }
    }

    std::unique_ptr<Source> open_blob(const oci::Reference& repository,
                                      const oci::Descriptor& descriptor, std::uint64_t offset,
                                      BlobConnections& connections, const std::stop_token& stop) {
        return std::make_unique<RangedSource>(sender_, options_, repository, descriptor, offset,
                                              connections, stop);
    }

    std::map<std::string, RateLimit> rate_limits() const {
        const std::lock_guard lock(mutex_);
        return rate_limits_;
    }

  private:
    template <typename Work>
    std::invoke_result_t<Work> attempt(std::string_view verb, const std::string& subject,
                                       const std::stop_token& stop, Work&& work) {
        return in_context("cannot " + std::string(verb) + " " + subject, [&] {
            return with_retries(Attempts(*options_, subject, stop), std::forward<Work>(work));
        });
    }

    std::unique_ptr<http::Response> send_named(http::Method method, const oci::Reference& reference,
                                               const std::stop_token& stop) {
        const std::string which =
            reference.digest ? reference.digest->str() : reference.tag.value_or("latest");
        return send(reference,
                    {.method = method,
                     .path = "manifests/" + which,
                     .headers = {{"Accept", std::string(kManifestTypes)}},
                     .resolves = !reference.digest},
                    stop);
    }

    /// A request for a manifest.
    std::unique_ptr<http::Response> send(const oci::Reference& repository,
                                         RepositoryRequest request, const std::stop_token& stop) {
        request.deadline = document_deadline();
        auto response = sender_->send(repository, request, stop);
        if (const auto limit = rate_limit_in(response->headers)) {
            const std::lock_guard lock(mutex_);
            RateLimit& known = rate_limits_.try_emplace(repository.registry, *limit).first->second;
            // Responses that were sent side by side arrive in any order.
            if (limit->remaining < known.remaining) known = *limit;
        }
        return response;
    }

    std::shared_ptr<RequestSender> sender_;
    std::shared_ptr<const RetryOptions> options_;
    mutable std::mutex mutex_;
    std::map<std::string, RateLimit> rate_limits_;
};

Remote::Remote(std::shared_ptr<http::Client> client, std::shared_ptr<CredentialSource> credentials,
               RetryOptions options, EndpointsOf endpoints)
    : impl_(std::make_unique<Impl>(std::move(client), std::move(credentials), std::move(options),
                                   std::move(endpoints))) {}

Remote::~Remote() = default;

oci::Descriptor Remote::resolve(const oci::Reference& reference, const std::stop_token& stop) {
    return impl_->resolve(reference, stop);
}

std::string Remote::fetch_claimed(const oci::Reference& reference, const oci::Descriptor& claimed,
                                  const std::stop_token& stop) {
    return impl_->fetch_claimed(reference, claimed, stop);
}

oci::Document Remote::fetch_named(const oci::Reference& reference, const std::stop_token& stop) {
    return impl_->fetch_named(reference, stop);
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

std::vector<oci::Descriptor> Remote::referrers(const oci::Reference& repository,
                                               const oci::Digest& subject,
                                               const std::stop_token& stop) {
    return impl_->referrers(repository, subject, stop);
}

std::unique_ptr<Source> Remote::open_blob(const oci::Reference& repository,
                                          const oci::Descriptor& descriptor, std::uint64_t offset,
                                          BlobConnections& connections,
                                          const std::stop_token& stop) {
    return impl_->open_blob(repository, descriptor, offset, connections, stop);
}

std::map<std::string, RateLimit> Remote::rate_limits() const {
    return impl_->rate_limits();
}

}  // namespace prebake::registry
