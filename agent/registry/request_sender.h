#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/http/client.h"
#include "agent/oci/reference.h"
#include "agent/registry/authorizer.h"
#include "agent/registry/credentials.h"
#include "agent/registry/endpoint.h"
#include "agent/registry/hosts_directory.h"

namespace prebake::registry {

/// Where a host served a request that a registry redirected, without credentials: a signed URL of
/// storage, which works for some time. Its query is a secret.
struct StorageLocation {
    std::string url;
    http::TlsSettings tls = {};
    std::optional<std::chrono::milliseconds> connect_timeout = {};
};

/// A request to a registry.
struct RepositoryRequest {
    http::Method method = http::Method::get;
    std::string path;  ///< below the repository: "manifests/latest"
    http::Headers headers;
    bool resolves = false;  ///< a tag: only for hosts that may say what it is
    /// Of the whole exchange, with its redirects. Nothing: as long as bytes arrive.
    std::optional<std::chrono::steady_clock::time_point> deadline = {};
    /// A list of referrers: only for hosts that have this capability. If none has it, for those
    /// that resolve: before containerd 2.2 no file could name it.
    bool lists_referrers = false;
    /// Reads a response with a 2xx status. If it returns false, the next host is asked, unless this
    /// is the last one. Null: each response is an answer.
    std::function<bool(http::Response&)> is_answer = nullptr;
    /// Set if the answer has a 2xx status: to where it came from, or to nothing.
    std::optional<StorageLocation>* storage = nullptr;
};

/// Sends a request to each of the endpoints of a registry, once, until one answers it: authorizes,
/// follows redirects, and turns statuses into Errors. Never retries. Thread-safe.
///
/// A redirect may lead to storage, which gets no credentials, or to another registry. That one gets
/// the credentials that are configured for its own name, if it asks for some and is verified.
class RequestSender {
  public:
    using Clock = Authorizer::Clock;

    RequestSender(std::shared_ptr<http::Client> client,
                  std::shared_ptr<CredentialSource> credentials,
                  EndpointsOf endpoints = endpoints_of,
                  Clock clock = std::chrono::steady_clock::now);

    /// A response with a 2xx status. Every call starts at the endpoints, because the URLs of
    /// redirects are signed and expire.
    /// @throws Error of the last endpoint, which also says why those before failed: like
    /// throw_status(), http::Client::send() and Authorizer::authorize(); corrupt, unsupported or
    /// permission_denied for redirects that must not be followed.
    std::unique_ptr<http::Response> send(const oci::Reference& repository,
                                         const RepositoryRequest& request,
                                         const std::stop_token& stop);

    /// A GET at storage where an earlier request was redirected to, without asking the registry.
    /// Its URL may have expired. @throws Error like throw_status() and http::Client::send().
    std::unique_ptr<http::Response> get_from_storage(const StorageLocation& storage,
                                                     http::Headers headers,
                                                     const std::stop_token& stop);

  private:
    /// Authorization headers, by the base URL of the endpoint that they are for.
    using Authorizations = std::map<std::string, std::string>;

    struct Reply {
        std::unique_ptr<http::Response> response;
        std::string redirected_to = {};  ///< the authority that answered, if it is not the registry
        /// Who answered: the registry, or another one that it redirects to. Nothing for storage.
        std::optional<Audience> audience;
        bool may_be_authorized = true;                  ///< whether it may get credentials
        std::optional<std::string> authorization = {};  ///< what it got
        std::optional<StorageLocation> storage = {};    ///< which answered
    };

    /// Those that may serve the request, in their order.
    std::vector<Endpoint> candidates(const std::string& registry, const RepositoryRequest& request);
    /// False for a minute after it could not be reached.
    bool was_reachable(const Endpoint& endpoint);
    std::unique_ptr<http::Response> send_to(const Endpoint& endpoint,
                                            const oci::Reference& repository,
                                            const RepositoryRequest& request,
                                            const std::stop_token& stop);
    /// With the protocol of its base URL.
    std::unique_ptr<http::Response> send_once(const Endpoint& endpoint,
                                              const oci::Reference& repository,
                                              const RepositoryRequest& request,
                                              const std::stop_token& stop);
    /// The response of the registry, or of the last host that it redirects to. Each registry on the
    /// way gets what `authorizations` has for it, or what the authorizer knows.
    Reply follow(const Audience& audience, const std::string& url, const RepositoryRequest& request,
                 const Authorizations& authorizations, const std::stop_token& stop);
    /// Throws the Error for a reply without success.
    [[noreturn]] void refuse(const Reply& reply, const std::stop_token& stop);
    /// The first request to an endpoint, which shows whether it can be reached.
    std::unique_ptr<http::Response> send_first(const Endpoint& endpoint,
                                               const http::Request& request,
                                               const std::stop_token& stop);
    /// Nothing if it has not been reached yet.
    std::optional<bool> speaks_tls(const Endpoint& endpoint);

    std::shared_ptr<http::Client> client_;
    Authorizer authorizer_;
    EndpointsOf endpoints_;
    Clock clock_;
    std::mutex mutex_;
    std::map<std::string, std::vector<Endpoint>> endpoints_of_;  ///< by registry
    std::map<std::string, bool> speaks_tls_;                     ///< by authority
    std::map<std::string, std::chrono::steady_clock::time_point> unreachable_until_;
};

}  // namespace prebake::registry
