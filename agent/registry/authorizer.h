#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/http/client.h"
#include "agent/registry/challenge.h"
#include "agent/registry/credentials.h"
#include "agent/registry/endpoint.h"
#include "agent/registry/token.h"

namespace prebake::registry {

/// What an authorization is for.
struct Audience {
    Repository repository;  ///< the credentials are for it
    Endpoint endpoint;
    std::string scope;  ///< "repository:library/nginx:pull"
};

/// Whether other credentials might help.
bool is_refusal(const Error& error);

/// Gets authorizations for the challenges of registries, and keeps them in memory while they are
/// valid. Thread-safe; threads that need the same token wait for the thread that fetches it.
class Authorizer {
  public:
    using Clock = std::function<std::chrono::steady_clock::time_point()>;

    Authorizer(std::shared_ptr<http::Client> client, std::shared_ptr<CredentialSource> credentials,
               Clock clock = std::chrono::steady_clock::now);

    /// The Authorization header from an earlier authorize(), renewed if it is about to expire;
    /// waits for a thread that fetches it now. Nothing before the first authorize().
    /// @throws Error as authorize().
    std::optional<std::string> known(const Audience& audience, const std::stop_token& stop);

    /// The Authorization header to send after a 401; `refused` is the one that was sent before it.
    /// @throws Error unauthenticated without suitable credentials, a ResponseError if the 401
    /// offers nothing that prebake can do; as fetch_token().
    std::string authorize(const Audience& audience, const std::vector<Challenge>& challenges,
                          const std::optional<std::string>& refused, const std::stop_token& stop);

    /// After the registry refused this authorization with 401 or 403: whether there is another one,
    /// with other credentials, which known() gives from now on. @throws Error as authorize().
    bool has_other(const Audience& audience, const std::optional<std::string>& refused,
                   const std::stop_token& stop);

    /// known() gives nothing again: the next request starts with the credentials that come first.
    void forget(const Audience& audience, const std::stop_token& stop);

    /// The next step for the operator after a 401 or 403; depends on the known credentials.
    std::string login_hint(const Repository& repository, const std::stop_token& stop);

  private:
    struct Authorization {
        std::string header;  ///< empty before the first
        std::chrono::steady_clock::time_point expires;
        std::vector<Challenge> challenges = {};       ///< that it answers, to renew it
        TokenForm form = TokenForm::get;              ///< that it was got in
        std::optional<Credentials> credentials = {};  ///< that it was made of
        bool being_fetched = false;
    };

    Authorization make_authorization(const Audience& audience,
                                     const std::vector<Challenge>& challenges,
                                     const std::vector<TokenForm>& forms,
                                     const std::stop_token& stop);
    Authorization authorization_with(const std::optional<Credentials>& credentials,
                                     const Audience& audience, const Challenge& challenge,
                                     const std::vector<TokenForm>& forms,
                                     const std::stop_token& stop);
    Token token_for(const Audience& audience, TokenQuery query,
                    std::optional<Credentials> credentials, const std::stop_token& stop);

    std::shared_ptr<http::Client> client_;
    std::shared_ptr<CredentialSource> credentials_;
    Clock clock_;
    std::mutex mutex_;
    std::condition_variable_any fetched_;
    /// Entries are never removed: references stay valid.
    std::map<std::string, Authorization> authorizations_;
    std::set<std::string> replaced_;  ///< headers whose credentials were refused, and have others
    std::set<std::string> services_without_post_;
    /// The refresh tokens that services gave in exchange for identity tokens, by both.
    std::map<std::pair<std::string, std::string>, std::string> refresh_tokens_;
};

}  // namespace prebake::registry
