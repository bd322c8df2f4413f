#pragma once

#include <chrono>
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

namespace prebake::registry {

/// A request to a registry.
struct RepositoryRequest {
    http::Method method = http::Method::get;
    std::string path;  ///< below the endpoint: "/v2/library/nginx/manifests/latest"
    http::Headers headers;
    int expected_error_status = 0;  ///< a status >= 400 to return instead of throwing; 0: none
    /// Of the whole exchange, with its redirects. Nothing: as long as bytes arrive.
    std::optional<std::chrono::steady_clock::time_point> deadline = {};
};

/// Sends a request to a registry, once: chooses the endpoint, authorizes, follows redirects, and
/// turns statuses into Errors. Never retries. Thread-safe.
class RequestSender {
  public:
    RequestSender(std::shared_ptr<http::Client> client,
                  std::shared_ptr<CredentialSource> credentials);

    /// A response with a 2xx status, or with the expected error status. Every call starts at the
    /// registry itself, because the URLs of its redirects are signed and expire.
    /// @throws Error like throw_status(), http::Client::send() and Authorizer::authorize();
    /// corrupt, unsupported or permission_denied for redirects that must not be followed.
    std::unique_ptr<http::Response> send(const oci::Reference& repository,
                                         const RepositoryRequest& request,
                                         const std::stop_token& stop);

  private:
    struct Reply {
        std::unique_ptr<http::Response> response;
        std::string redirected_to;  ///< the authority that answered, if it is not the registry
    };

    std::unique_ptr<http::Response> send_to(const Endpoint& endpoint,
                                            const oci::Reference& repository,
                                            const RepositoryRequest& request,
                                            const std::stop_token& stop);
    /// The response of the registry, or of the last host that it redirects to.
    Reply follow(const Audience& audience, const RepositoryRequest& request,
                 const std::optional<std::string>& authorization, const std::stop_token& stop);
    /// The endpoint that responded before; all endpoints if none did.
    std::vector<Endpoint> candidates(const std::string& registry);
    void remember(const std::string& registry, const Endpoint& endpoint);

    std::shared_ptr<http::Client> client_;
    Authorizer authorizer_;
    std::mutex mutex_;
    std::map<std::string, Endpoint> responding_;
};

}  // namespace prebake::registry
