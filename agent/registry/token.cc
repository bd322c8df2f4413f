#include "agent/registry/token.h"

#include <algorithm>
#include <boost/json.hpp>
#include <memory>
#include <utility>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/base/stream.h"
#include "agent/base/text.h"
#include "agent/http/url.h"
#include "agent/registry/status.h"

namespace prebake::registry {
namespace {

/// A longer (or absurd) expires_in counts as a day.
constexpr std::chrono::seconds kLongestLifetime = std::chrono::hours(24);

/// Of a request to a token service, to the last byte of its response.
constexpr std::chrono::seconds kTimeLimit{60};

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

std::string form_encode(const Fields& fields) {
    std::string text;
    for (const auto& [name, value] : fields) {
        if (!text.empty()) text += '&';
        text += http::percent_encode(name) + "=" + http::percent_encode(value);
    }
    return text;
}

std::string who(const http::Request& request) {
    return "the token service " + http::parse_url(request.url).authority();
}

Token read_token(http::Response& response, const http::Request& request) {
    return in_context(who(request), [&] {
        const auto body = read_up_to(response, kMaxTokenBytes);
        if (!body) throw Error(Errc::too_large, "its response is larger than 1 MiB");
        return parse_token(*body);
    });
}

[[noreturn]] void throw_token_error(http::Response& response, const http::Request& request,
                                    const std::string& login_hint) {
    try {
        throw_status(response, who(request), login_hint);
    } catch (const Error& error) {
        // Some services answer wrong credentials with 403 or 400 (invalid_grant) instead of 401.
        const bool refused = response.status == 400 || error.code() == Errc::permission_denied;
        if (!refused) throw;
        throw Error(Errc::unauthenticated, error.message(), login_hint);
    }
}

/// The statuses of services without the OAuth2 POST.
bool wants_get(int status) {
    return status == 404 || status == 401 || status == 400 || status == 405;
}

}  // namespace

TokenQuery token_query(const Challenge& bearer, std::string_view own_scope) {
    TokenQuery query{.realm = bearer.parameter("realm"),
                     .service = bearer.parameter("service"),
                     .scopes = {std::string(own_scope)}};
    const std::string offered = bearer.parameter("scope");
    for (std::size_t begin = 0; begin < offered.size();) {
        const std::size_t end = std::min(offered.find(' ', begin), offered.size());
        if (end > begin) query.scopes.push_back(offered.substr(begin, end - begin));
        begin = end + 1;
    }
    std::ranges::sort(query.scopes);
    query.scopes.erase(std::unique(query.scopes.begin(), query.scopes.end()), query.scopes.end());
    return query;
}

std::string basic_authorization(const Credentials& credentials) {
    return "Basic " + base64_encode(credentials.username + ":" + credentials.password);
}

http::Request token_get(const TokenQuery& query, const std::optional<Credentials>& credentials) {
    Fields fields;
    if (!query.service.empty()) fields.emplace_back("service", query.service);
    for (const std::string& scope : query.scopes) fields.emplace_back("scope", scope);
    http::Request request;
    const std::string realm = query.realm.substr(0, query.realm.find('#'));
    request.url = realm + (realm.find('?') == std::string::npos ? "?" : "&") + form_encode(fields);
    if (credentials)
        request.headers.emplace_back("Authorization", basic_authorization(*credentials));
    return request;
}

http::Request token_post(const TokenQuery& query, const Credentials& credentials) {
    const bool refresh = !credentials.identity_token.empty();
    const std::string scope = joined(query.scopes, " ");
    Fields fields{{"grant_type", refresh ? "refresh_token" : "password"},
                  {"service", query.service},
                  {"client_id", "prebake"},
                  {"scope", scope}};
    if (refresh) {
        fields.emplace_back("refresh_token", credentials.identity_token);
    } else {
        fields.emplace_back("username", credentials.username);
        fields.emplace_back("password", credentials.password);
    }
    http::Request request;
    request.method = http::Method::post;
    request.url = query.realm;
    request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    request.body = form_encode(fields);
    return request;
}

Token parse_token(std::string_view json) {
    boost::system::error_code failure;
    const boost::json::value document = boost::json::parse(json, failure);
    const auto* object = failure ? nullptr : document.if_object();
    if (object == nullptr) throw Error(Errc::corrupt, "its response is not a JSON object");
    Token token;
    for (const std::string_view key : {"token", "access_token"}) {
        const auto* value = object->if_contains(key);
        if (value != nullptr && value->is_string())
            token.value = std::string_view(value->as_string());
        if (!token.value.empty()) break;
    }
    // It is sent in a header, which allows only visible ASCII.
    const bool clean =
        std::ranges::all_of(token.value, [](char c) { return c > ' ' && c < '\x7F'; });
    if (token.value.empty() || !clean)
        throw Error(Errc::corrupt, "its response has no usable token");
    if (const auto* value = object->if_contains("expires_in")) {
        boost::system::error_code not_whole;
        const auto seconds = value->is_number() ? value->to_number<std::int64_t>(not_whole) : 0;
        if (seconds > 0 && !not_whole) {
            token.lifetime =
                std::chrono::seconds(std::min<std::int64_t>(seconds, kLongestLifetime.count()));
        }
    }
    return token;
}

Token fetch_token(http::Client& client, const TokenQuery& query,
                  const std::optional<Credentials>& credentials, const Endpoint& registry,
                  const std::string& login_hint, const std::stop_token& stop) {
    const http::Url realm =
        in_context("the registry's token service", [&] { return http::parse_url(query.realm); });
    if (!realm.tls && http::parse_url(registry.base_url).tls) {
        throw Error(
            Errc::permission_denied,
            "the registry requires a token from " + realm.origin() + ", which is not encrypted",
            "let the registry name its token service with https");
    }
    const auto send = [&](http::Request& request) {
        request.tls = tls_towards(realm.host, registry);
        request.time_limit = kTimeLimit;
        request.allows_link_local = false;
        return client.send(request, stop);
    };
    if (credentials) {
        http::Request post = token_post(query, *credentials);
        const auto response = send(post);
        if (response->status == 200) return read_token(*response, post);
        // A refresh token works with POST only, a password also with GET.
        if (!credentials->identity_token.empty() || !wants_get(response->status)) {
            throw_token_error(*response, post, login_hint);
        }
        http::discard_body(*response);
    }
    http::Request get = token_get(query, credentials);
    const auto response = send(get);
    if (response->status != 200) throw_token_error(*response, get, login_hint);
    return read_token(*response, get);
}

}  // namespace prebake::registry
