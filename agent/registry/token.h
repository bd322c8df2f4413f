#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
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

/// Real responses have a few kB.
inline constexpr std::size_t kMaxTokenBytes = 1UL << 20;

/// The ways to ask a token service: the token specification's GET, and OAuth2's POST.
enum class TokenForm { get, post };

/// A query to a registry's token service (the distribution project's token specification).
struct TokenQuery {
    std::string realm;  ///< the service's URL, perhaps relative to the registry's
    std::string service;
    std::vector<std::string> scopes;  ///< sorted, without duplicates
    /// How to send a password, in the order to try.
    std::vector<TokenForm> forms = {TokenForm::post, TokenForm::get};
};

struct Token {
    std::string value;
    std::chrono::seconds lifetime{60};
    std::string refresh_token = {};  ///< takes the place of the identity token; mostly empty
    TokenForm form = TokenForm::get;

    bool operator==(const Token&) const = default;
};

/// With our own scope and those of the challenge.
TokenQuery token_query(const Challenge& bearer, std::string_view own_scope);

/// "Basic …" for a username and password.
std::string basic_authorization(const Credentials& credentials);

/// GET realm?service=&scope=…, anonymous or with Basic authorization.
http::Request token_get(const TokenQuery& query, const std::optional<Credentials>& credentials);

/// The OAuth2 form: grant_type refresh_token for an identity token, password otherwise.
http::Request token_post(const TokenQuery& query, const Credentials& credentials);

/// The lifetime is what is left of it at `now`, if the service says when it issued the token.
/// @throws Error corrupt, which does not quote the document, apart from its diagnosis().
Token parse_token(std::string_view json, const std::vector<std::string>& secrets,
                  std::chrono::system_clock::time_point now);

/// Gets a token. A password is sent by POST first, and then by GET, whatever the service answers to
/// the POST: many do not support it, and say so in many ways. An identity token works with POST
/// only, and without credentials there is only GET. Redirects are followed, with the credentials
/// only on the same host: those of a GET also to another one, without them. `login_hint` gives the
/// next step in the Error if the service refuses; it is not called for anything else, because it
/// may run programs. Credentials are never sent without TLS, unless `registry` itself is used
/// without it.
/// @throws Error of the last form, or that of the one before if only that says why:
/// unauthenticated, permission_denied (no TLS), rate_limited, unavailable, timed_out, corrupt,
/// too_large, cancelled.
Token fetch_token(http::Client& client, const TokenQuery& query,
                  const std::optional<Credentials>& credentials, const Endpoint& registry,
                  const std::function<std::string()>& login_hint, const std::stop_token& stop);

}  // namespace prebake::registry
