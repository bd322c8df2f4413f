#pragma once

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

/// What to ask a registry for.
struct RepositoryRequest {
    http::Method method = http::Method::get;
    std::string path;  ///< below the endpoint: "/v2/library/nginx/manifests/latest"
    http::Headers headers;
    int expected_error_status = 0;  ///< a status from 400 up to return rather than throw; 0: none
};

/// Carries one request to a registry, once: picks the endpoint, answers the challenge, follows
/// redirects, and turns statuses into Errors. It never retries. Thread-safe.
class RequestSender {
  public:
    RequestSender(std::shared_ptr<http::Client> client,
                  std::shared_ptr<CredentialSource> credentials);

    /// A response with a status of 2xx, or with the expected refusal. Every call starts at the
    /// registry itself: the URLs that it redirects to are signed and expire.
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
    /// The answer of the registry or of wherever it redirects to.
    Reply follow(const Audience& audience, const RepositoryRequest& request,
                 const std::optional<std::string>& authorization, const std::stop_token& stop);
    /// The endpoint that answered before; all of them before the first answer.
    std::vector<Endpoint> candidates(const std::string& registry);
    void remember(const std::string& registry, const Endpoint& endpoint);

    std::shared_ptr<http::Client> client_;
    Authorizer authorizer_;
    std::mutex mutex_;
    std::map<std::string, Endpoint> answering_;
};

}  // namespace prebake::registry
