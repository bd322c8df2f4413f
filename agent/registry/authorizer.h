#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/http/client.h"
#include "agent/registry/challenge.h"
#include "agent/registry/credentials.h"
#include "agent/registry/endpoint.h"

namespace prebake::registry {

/// Whom an authorization is for.
struct Audience {
    std::string registry;  ///< "docker.io": what credentials are filed under
    Endpoint endpoint;
    std::string scope;  ///< "repository:library/nginx:pull"
};

/// Answers the challenges of registries, and remembers the answers in memory as long as they hold.
/// Thread-safe; threads that need the same token wait for the one that fetches it.
class Authorizer {
  public:
    using Clock = std::function<std::chrono::steady_clock::time_point()>;

    Authorizer(std::shared_ptr<http::Client> client, std::shared_ptr<CredentialSource> credentials,
               Clock clock = std::chrono::steady_clock::now);

    /// The Authorization header that answered before and has not expired.
    std::optional<std::string> known(const Audience& audience);

    /// The Authorization header that answers a 401; `refused` is what that request carried.
    /// @throws Error unauthenticated when there is nothing to answer with; those of fetch_token().
    std::string authorize(const Audience& audience, const std::vector<Challenge>& challenges,
                          const std::optional<std::string>& refused, const std::stop_token& stop);

    /// What the operator can do about a refusal: depends on whether there are credentials.
    std::string login_hint(std::string_view registry);

  private:
    struct Authorization {
        std::string header;  ///< empty before the first
        std::chrono::steady_clock::time_point expires;
        bool being_fetched = false;
    };

    Authorization make_authorization(const Audience& audience,
                                     const std::vector<Challenge>& challenges,
                                     const std::stop_token& stop);

    std::shared_ptr<http::Client> client_;
    std::shared_ptr<CredentialSource> credentials_;
    Clock clock_;
    std::mutex mutex_;
    std::condition_variable_any fetched_;
    /// Entries are never removed: references stay valid.
    std::map<std::string, Authorization> authorizations_;
};

}  // namespace prebake::registry
