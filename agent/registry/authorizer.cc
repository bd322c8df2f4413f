#include "agent/registry/authorizer.h"

#include <algorithm>
#include <array>
#include <exception>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/base/wait.h"
#include "agent/registry/retry.h"

namespace prebake::registry {
namespace {

using std::chrono::steady_clock;

/// How long before its end a token is renewed: it might expire on its way. Of a short life it is a
/// tenth.
constexpr std::chrono::milliseconds kExpiryMargin{5'000};

/// All that decides which credentials are sent where: two entries of hosts.toml may differ in
/// nothing but the path, and each have a robot account of its own.
std::string key_of(const Audience& audience) {
    const Endpoint& endpoint = audience.endpoint;
    return joined(std::array<std::string_view, 6>{endpoint.base_url, endpoint.path,
                                                  endpoint.mirror_of, audience.repository.registry,
                                                  audience.repository.path, audience.scope},
                  "\n");
}

std::string schemes(const std::vector<Challenge>& challenges) {
    std::string names;
    for (const Challenge& challenge : challenges) {
        names += (names.empty() ? "" : ", ") + challenge.scheme;
    }
    return names.empty() ? "nothing" : names;
}

}  // namespace

bool is_refusal(const Error& error) {
    return error.code() == Errc::unauthenticated || error.code() == Errc::permission_denied;
}

Authorizer::Authorizer(std::shared_ptr<http::Client> client,
                       std::shared_ptr<CredentialSource> credentials, Clock clock)
    : client_(std::move(client)), credentials_(std::move(credentials)), clock_(std::move(clock)) {}

std::optional<std::string> Authorizer::known(const Audience& audience,
                                             const std::stop_token& stop) {
    Authorization held;
    {
        std::unique_lock lock(mutex_);
        const auto found = authorizations_.find(key_of(audience));
        if (found == authorizations_.end()) return std::nullopt;
        fetched_.wait(lock, stop, [&] { return !found->second.being_fetched; });
        held = found->second;
    }
    throw_if_stopped(stop);
    if (held.header.empty()) return std::nullopt;
    if (clock_() < held.expires) return held.header;
    return authorize(audience, held.challenges, held.header, stop);
}

std::string Authorizer::authorize(const Audience& audience,
                                  const std::vector<Challenge>& challenges,
                                  const std::optional<std::string>& refused,
                                  const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    Authorization& entry = authorizations_[key_of(audience)];
    fetched_.wait(lock, stop, [&] { return !entry.being_fetched; });
    throw_if_stopped(stop);
    const bool renewed_by_another =
        !entry.header.empty() && entry.header != refused && clock_() < entry.expires;
    if (renewed_by_another) return entry.header;
    // Services that do not read the form of a POST give a token for nobody.
    const bool may_be_for_nobody =
        entry.form == TokenForm::post && entry.header == refused && clock_() < entry.expires;
    const auto forms = may_be_for_nobody ? std::vector{TokenForm::get, TokenForm::post}
                                         : std::vector{TokenForm::post, TokenForm::get};

    entry = Authorization{.header = {}, .expires = {}, .being_fetched = true};
    lock.unlock();
    Authorization made;
    try {
        made = make_authorization(audience, challenges, forms, stop);
    } catch (...) {
        lock.lock();
        entry.being_fetched = false;
        fetched_.notify_all();
        throw;
    }
    made.challenges = challenges;
    lock.lock();
    entry = made;
    fetched_.notify_all();
    return made.header;
}

Authorizer::Authorization Authorizer::make_authorization(const Audience& audience,
                                                         const std::vector<Challenge>& challenges,
                                                         const std::vector<TokenForm>& forms,
                                                         const std::stop_token& stop) {
    const Challenge* const challenge = preferred_challenge(challenges);
    if (challenge == nullptr) {
        throw ResponseError(
            Error(Errc::unauthenticated,
                  "the registry answers 401 Unauthorized and offers neither Bearer nor Basic "
                  "authentication, but " +
                      schemes(challenges),
                  login_hint(audience.repository, stop)),
            401, {});
    }
    auto credentials = credentials_->find(audience.repository, stop);
    std::exception_ptr refusal;  // of the credentials that come first
    for (;;) {
        if (credentials && credentials->anonymous()) credentials.reset();
        try {
            return authorization_with(credentials, audience, *challenge, forms, stop);
        } catch (const Error& error) {
            if (!is_refusal(error)) throw;
            if (!refusal) refusal = std::current_exception();
        }
        if (credentials) {
            credentials = credentials_->find_other(audience.repository, *credentials, stop);
        }
        if (!credentials) std::rethrow_exception(refusal);
    }
}

Authorizer::Authorization Authorizer::authorization_with(
    const std::optional<Credentials>& credentials, const Audience& audience,
    const Challenge& challenge, const std::vector<TokenForm>& forms, const std::stop_token& stop) {
    Authorization authorization{
        .header = {}, .expires = steady_clock::time_point::max(), .credentials = credentials};
    if (credentials && !credentials->registry_token.empty()) {
        authorization.header = "Bearer " + credentials->registry_token;
    } else if (challenge.scheme == "bearer") {
        TokenQuery query = token_query(challenge, audience.scope);
        query.forms = forms;
        const Token token = token_for(audience, std::move(query), credentials, stop);
        authorization.form = token.form;
        const std::chrono::milliseconds lifetime = token.lifetime;
        authorization.header = "Bearer " + token.value;
        authorization.expires = clock_() + lifetime - std::min(kExpiryMargin, lifetime / 10);
    } else if (credentials && !credentials->username.empty() && !credentials->password.empty()) {
        authorization.header = basic_authorization(*credentials);
    } else {
        throw Error(
            Errc::unauthenticated,
            "the registry " + audience.repository.registry + " requires a username and a password",
            login_hint(audience.repository, stop));
    }
    return authorization;
}

Token Authorizer::token_for(const Audience& audience, TokenQuery query,
                            std::optional<Credentials> credentials, const std::stop_token& stop) {
    const std::string identity = credentials ? credentials->identity_token : std::string();
    // The realm may be relative to the registry.
    const std::string service = audience.endpoint.base_url + " " + query.realm;
    {
        const std::lock_guard lock(mutex_);
        if (services_without_post_.contains(service)) query.forms = {TokenForm::get};
        // A service that gives another refresh token may not take the old one again.
        const auto given = refresh_tokens_.find({service, identity});
        if (given != refresh_tokens_.end()) credentials->identity_token = given->second;
    }
    Token token = [&] {
        try {
            return fetch_token(
                *client_, query, credentials, audience.endpoint,
                [&] { return login_hint(audience.repository, stop); }, stop);
        } catch (const Error& error) {
            const std::lock_guard lock(mutex_);
            if (error.code() == Errc::unauthenticated) refresh_tokens_.erase({service, identity});
            throw;
        }
    }();
    const std::lock_guard lock(mutex_);
    const bool has_password = credentials && identity.empty();
    if (has_password && token.form == TokenForm::get) services_without_post_.insert(service);
    if (!identity.empty() && !token.refresh_token.empty()) {
        refresh_tokens_[{service, identity}] = token.refresh_token;
    }
    return token;
}

bool Authorizer::has_other(const Audience& audience, const std::optional<std::string>& refused,
                           const std::stop_token& stop) {
    if (!refused) return false;
    Authorization held;
    bool is_replaced = false;
    {
        std::unique_lock lock(mutex_);
        Authorization& entry = authorizations_[key_of(audience)];
        fetched_.wait(lock, stop, [&] { return !entry.being_fetched; });
        held = entry;
        is_replaced = replaced_.contains(*refused);
    }
    throw_if_stopped(stop);
    if (held.header.empty()) return false;
    if (!is_replaced) {
        if (held.header != refused || !held.credentials) return false;
        if (!credentials_->find_other(audience.repository, *held.credentials, stop)) return false;
        const std::lock_guard lock(mutex_);
        replaced_.insert(*refused);
    }
    return authorize(audience, held.challenges, refused, stop) != refused;
}

void Authorizer::forget(const Audience& audience, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    Authorization& entry = authorizations_[key_of(audience)];
    fetched_.wait(lock, stop, [&] { return !entry.being_fetched; });
    if (!entry.being_fetched) entry = {};
}

std::string Authorizer::login_hint(const Repository& repository, const std::stop_token& stop) {
    const auto credentials = credentials_->find(repository, stop);
    const std::string& name = repository.registry;
    if (credentials && !credentials->anonymous()) {
        return "check the name, and the credentials for " + name + " from " + credentials->source;
    }
    if (credentials && !credentials->note.empty()) return credentials->note;
    return "check the name; there are no credentials for " + name + " (docker login " + name +
           ", or --authfile FILE)";
}

}  // namespace prebake::registry
