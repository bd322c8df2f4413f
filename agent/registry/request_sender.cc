#include "agent/registry/request_sender.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <iterator>
#include <utility>

#include "agent/base/error.h"
#include "agent/http/url.h"
#include "agent/registry/challenge.h"
#include "agent/registry/redirect.h"
#include "agent/registry/retry.h"
#include "agent/registry/secrets.h"
#include "agent/registry/status.h"

namespace prebake::registry {
namespace {

/// How long a host that could not be reached is tried after the others.
constexpr std::chrono::seconds kTimeWithoutHost{60};

/// That get an authorization for one request. Redirects to more of them are a trap.
constexpr std::size_t kMaxRegistries = 3;

/// At least a millisecond: the client reports that the deadline passed.
std::optional<std::chrono::milliseconds> time_left(const RepositoryRequest& request) {
    using std::chrono::milliseconds;
    if (!request.deadline) return {};
    const auto left = std::chrono::duration_cast<milliseconds>(*request.deadline -
                                                               std::chrono::steady_clock::now());
    return std::max(left, milliseconds(1));
}

/// Whose credentials the endpoint gets. The path of a mirror's API may begin with a repository.
Repository named_on(const Endpoint& endpoint, const std::string& registry,
                    const std::string& path) {
    if (endpoint.mirror_of.empty()) return {.registry = registry, .path = path};
    Repository repository{.registry = http::parse_url(endpoint.base_url).host_header, .path = path};
    constexpr std::string_view kApi = "/v2/";
    if (endpoint.path.starts_with(kApi)) {
        repository.path = endpoint.path.substr(kApi.size()) + "/" + path;
    }
    return repository;
}

std::string url_of(const Endpoint& endpoint, const std::string& repository,
                   const RepositoryRequest& request) {
    std::string url = endpoint.base_url + endpoint.path + "/" + repository + "/" + request.path;
    if (!endpoint.mirror_of.empty()) {
        const char* const separator = request.path.find('?') == std::string::npos ? "?" : "&";
        url += separator + ("ns=" + http::percent_encode(endpoint.mirror_of));
    }
    return url;
}

/// The registry that `target` belongs to, if a redirect of a request to `from` led there and it is
/// a path of the distribution API.
std::optional<Audience> registry_of(const http::Url& target, const Endpoint& from,
                                    const RepositoryRequest& request) {
    constexpr std::string_view kApi = "/v2/";
    const std::string path = target.target.substr(0, target.target.find('?'));
    // "manifests", "blobs": a redirect may name a manifest by its digest.
    const std::string kind = "/" + request.path.substr(0, request.path.find('/')) + "/";
    const std::size_t api = path.find(kApi);
    const std::size_t end = path.rfind(kind);
    if (api == std::string::npos || end == std::string::npos) return std::nullopt;
    const std::size_t begin = api + kApi.size();
    if (end <= begin) return std::nullopt;
    const std::string repository = path.substr(begin, end - begin);
    const bool is_hub = target.host_header == "registry-1.docker.io";
    return Audience{
        .repository = {.registry = is_hub ? "docker.io" : target.host_header, .path = repository},
        .endpoint = {.base_url = (target.tls ? "https://" : "http://") + target.host_header,
                     .tls = tls_for_service(target.host, from),
                     .path = path.substr(0, begin - 1),
                     .dial_timeout = from.dial_timeout},
        .scope = "repository:" + repository + ":pull"};
}

struct Attempt {
    const Endpoint& endpoint;
    std::exception_ptr failure = {};
};

std::string message_of(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const Error& error) {
        return error.message();
    }
}

/// The error of the last endpoint, with the reasons of the others.
[[noreturn]] void throw_last(const std::vector<Attempt>& attempts) {
    const Attempt& last = attempts.back();
    if (attempts.size() == 1) std::rethrow_exception(last.failure);
    std::string others;
    for (const Attempt& attempt : attempts) {
        if (&attempt == &last) continue;
        others += "; and " + attempt.endpoint.base_url + ": " + message_of(attempt.failure);
    }
    const auto explained = [&](const Error& error) {
        return Error(error.code(), last.endpoint.base_url + ": " + error.message() + others,
                     error.next_step());
    };
    try {
        std::rethrow_exception(last.failure);
    } catch (const Error& error) {
        throw_as(error, explained(error));
    }
}

}  // namespace

RequestSender::RequestSender(std::shared_ptr<http::Client> client,
                             std::shared_ptr<CredentialSource> credentials, EndpointsOf endpoints,
                             Clock clock)
    : client_(std::move(client)),
      authorizer_(client_, std::move(credentials)),
      endpoints_(std::move(endpoints)),
      clock_(std::move(clock)) {}

std::unique_ptr<http::Response> RequestSender::send(const oci::Reference& repository,
                                                    const RepositoryRequest& request,
                                                    const std::stop_token& stop) {
    const std::vector<Endpoint> endpoints = candidates(repository.registry, request);
    std::vector<Attempt> attempts;
    attempts.reserve(endpoints.size());
    for (const Endpoint& endpoint : endpoints) attempts.push_back({.endpoint = endpoint});
    // Hosts that could not be reached just now come last: they would cost a timeout each time.
    std::vector<Attempt*> order;
    order.reserve(attempts.size());
    for (Attempt& attempt : attempts) order.push_back(&attempt);
    std::stable_partition(order.begin(), order.end(),
                          [&](const Attempt* attempt) { return was_reachable(attempt->endpoint); });
    for (Attempt* const attempt : order) {
        try {
            auto response = send_to(attempt->endpoint, repository, request, stop);
            const bool is_last = attempt == &attempts.back();
            if (!request.is_answer || request.is_answer(*response) || is_last) return response;
            throw Error(Errc::not_found, "it has none");
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            attempt->failure = std::current_exception();
        }
    }
    throw_last(attempts);
}

std::vector<Endpoint> RequestSender::candidates(const std::string& registry,
                                                const RepositoryRequest& request) {
    const std::lock_guard lock(mutex_);
    auto known = endpoints_of_.find(registry);
    if (known == endpoints_of_.end()) {
        known = endpoints_of_.emplace(registry, endpoints_(registry)).first;
    }
    std::vector<Endpoint> endpoints;
    // By digest, containerd asks all hosts if one of them may be asked at all.
    const bool any_pulls = std::ranges::any_of(known->second, &Endpoint::pulls);
    const bool any_lists = std::ranges::any_of(known->second, &Endpoint::lists_referrers);
    std::ranges::copy_if(known->second, std::back_inserter(endpoints), [&](const Endpoint& each) {
        if (request.lists_referrers && any_lists) return each.lists_referrers;
        return request.resolves ? each.pulls && each.resolves : any_pulls;
    });
    if (endpoints.empty()) {
        throw Error(Errc::unsupported,
                    "its hosts.toml has no host for " + registry + " that may " +
                        (request.resolves ? "resolve tags" : "be pulled from"),
                    "add the capabilities \"pull\" and \"resolve\" to one of them");
    }
    return endpoints;
}

bool RequestSender::was_reachable(const Endpoint& endpoint) {
    const std::lock_guard lock(mutex_);
    const auto until = unreachable_until_.find(http::parse_url(endpoint.base_url).authority());
    return until == unreachable_until_.end() || until->second <= clock_();
}

std::unique_ptr<http::Response> RequestSender::send_to(const Endpoint& endpoint,
                                                       const oci::Reference& repository,
                                                       const RepositoryRequest& request,
                                                       const std::stop_token& stop) {
    if (!endpoint.falls_back_to_http) return send_once(endpoint, repository, request, stop);
    if (speaks_tls(endpoint).value_or(true)) {
        try {
            return send_once(endpoint, repository, request, stop);
        } catch (const Error& error) {
            // Plain HTTP is tried only if there was no connection with TLS.
            if (error.code() != Errc::unavailable || speaks_tls(endpoint) == true) throw;
        }
    }
    Endpoint plain = endpoint;
    plain.base_url.replace(0, std::string_view("https").size(), "http");
    return send_once(plain, repository, request, stop);
}

std::unique_ptr<http::Response> RequestSender::send_once(const Endpoint& endpoint,
                                                         const oci::Reference& repository,
                                                         const RepositoryRequest& request,
                                                         const std::stop_token& stop) {
    const std::string path = endpoint.repository_of(repository.repository);
    const Audience audience{.repository = named_on(endpoint, repository.registry, path),
                            .endpoint = endpoint,
                            .scope = "repository:" + path + ":pull"};
    const std::string url = url_of(endpoint, path, request);
    Authorizations authorizations;
    Reply reply = follow(audience, url, request, authorizations, stop);
    // Each registry once: the one that was asked, and others that it redirects to.
    while (reply.audience && reply.may_be_authorized && authorizations.size() < kMaxRegistries) {
        const auto challenges =
            parse_challenges(http::find_headers(reply.response->headers, "WWW-Authenticate"));
        const std::string& registry = reply.audience->endpoint.base_url;
        if (!asks_for_authorization(reply.response->status, challenges)) break;
        if (authorizations.contains(registry)) break;
        const bool is_elsewhere = !reply.redirected_to.empty();
        if (is_elsewhere && preferred_challenge(challenges) == nullptr) break;
        http::discard_body(*reply.response);
        authorizations[registry] =
            authorizer_.authorize(*reply.audience, challenges, reply.authorization, stop);
        reply = follow(audience, url, request, authorizations, stop);
    }
    const int status = reply.response->status;
    if (status >= 200 && status < 300) {
        if (request.storage != nullptr) *request.storage = std::move(reply.storage);
        return std::move(reply.response);
    }
    try {
        refuse(reply, stop);
    } catch (const Error& error) {
        if (!is_refusal(error) || !reply.audience || !reply.may_be_authorized) throw;
        const std::exception_ptr refusal = std::current_exception();
        try {
            if (authorizer_.has_other(*reply.audience, reply.authorization, stop)) {
                return send_once(endpoint, repository, request, stop);
            }
        } catch (const Error& other) {
            if (!is_refusal(other)) throw;
            authorizer_.forget(*reply.audience, stop);
        }
        std::rethrow_exception(refusal);  // it names the credentials that come first
    }
}

void RequestSender::refuse(const Reply& reply, const std::stop_token& stop) {
    const int status = reply.response->status;
    const bool is_elsewhere = !reply.redirected_to.empty();
    // A 403 of a host that never asked for credentials is about the URL: its signature, its expiry.
    const bool is_refused =
        status == 401 || (status == 403 && (!is_elsewhere || reply.authorization));
    std::string who =
        is_elsewhere ? reply.redirected_to + ", where the registry redirects to," : "the registry";
    std::string next_step;
    if (is_refused && reply.audience) {
        // These may also mean that there is no such repository (Docker Hub, GHCR).
        who = "it does not exist or may not be pulled with these credentials: " + who;
        next_step = authorizer_.login_hint(reply.audience->repository, stop);
        if (!reply.may_be_authorized) {
            who = reply.redirected_to +
                  ", where the registry redirects to, gets no credentials because it is not "
                  "verified, and";
            next_step = "use an image reference with " + reply.audience->repository.registry +
                        ", or let the registry redirect to a host with a trusted certificate";
        }
    } else if (is_elsewhere) {
        next_step = "check that this machine may reach it: firewall, VPC endpoint policy, clock";
    }
    throw_status(*reply.response, who, next_step);
}

std::unique_ptr<http::Response> RequestSender::get_from_storage(const StorageLocation& storage,
                                                                http::Headers headers,
                                                                const std::stop_token& stop) {
    const http::Request request{.method = http::Method::get,
                                .url = storage.url,
                                .headers = std::move(headers),
                                .body = {},
                                .tls = storage.tls,
                                .allows_link_local = false,
                                .connect_timeout = storage.connect_timeout};
    auto response = client_->send(request, stop);
    response->secrets = secrets_in(request);
    if (response->status >= 200 && response->status < 300) return response;
    throw_status(*response, http::parse_url(storage.url).authority(), "");
}

RequestSender::Reply RequestSender::follow(const Audience& audience, const std::string& url,
                                           const RepositoryRequest& request,
                                           const Authorizations& authorizations,
                                           const std::stop_token& stop) {
    const Endpoint& endpoint = audience.endpoint;
    const std::string registry = http::parse_url(endpoint.base_url).authority();
    http::Request http_request{.method = request.method,
                               .url = url,
                               .headers = request.headers,
                               .body = {},
                               .tls = endpoint.tls,
                               .connect_timeout = endpoint.dial_timeout};
    Reply reply{.response = {}, .audience = audience};
    const auto authorize = [&] {
        const auto fresh = authorizations.find(reply.audience->endpoint.base_url);
        reply.authorization = fresh != authorizations.end()
                                  ? std::optional(fresh->second)
                                  : authorizer_.known(*reply.audience, stop);
        if (!reply.authorization) return;
        http_request.headers.emplace_back("Authorization", *reply.authorization);
    };
    authorize();
    add_headers_of(endpoint, http_request);
    for (int redirects = 0; redirects <= kMaxRedirects; ++redirects) {
        http_request.time_limit = time_left(request);
        auto response = redirects == 0 ? send_first(endpoint, http_request, stop)
                                       : client_->send(http_request, stop);
        response->secrets = secrets_in(http_request);
        if (!is_redirect(response->status)) {
            reply.response = std::move(response);
            const bool has_secret =
                http::find_header(http_request.headers, "Authorization").has_value();
            if (!reply.redirected_to.empty() && !has_secret) {
                reply.storage = {.url = std::move(http_request.url),
                                 .tls = std::move(http_request.tls),
                                 .connect_timeout = http_request.connect_timeout};
            }
            return reply;
        }
        const Redirect redirect = redirect_of(*response, http_request.url);
        http::discard_body(*response);
        const http::Url target = http::parse_url(redirect.url);
        http_request.url = redirect.url;
        http_request.tls = tls_towards(target.host, endpoint);
        http_request.allows_link_local = false;
        if (target.authority() != registry || !reply.redirected_to.empty()) {
            // From here on without the Authorization and the host's own headers: signed URLs refuse
            // them, and a redirect from another host back to the registry must not use them.
            http_request.headers = request.headers;
            reply.redirected_to = target.authority();
            reply.authorization.reset();
            reply.audience.reset();
            if (target.authority() != registry) {
                reply.audience = registry_of(target, endpoint, request);
            }
            reply.may_be_authorized = keeps_secrets(target, http_request.tls, endpoint);
            if (reply.audience && reply.may_be_authorized) authorize();
        }
        const bool has_none = !http::find_header(http_request.headers, "Authorization");
        if (has_none && !redirect.authorization.empty()) {
            http_request.headers.emplace_back("Authorization", redirect.authorization);
        }
    }
    throw ResponseError(Error(Errc::unsupported, "the registry redirects more than " +
                                                     std::to_string(kMaxRedirects) + " times"),
                        307, {});
}

std::unique_ptr<http::Response> RequestSender::send_first(const Endpoint& endpoint,
                                                          const http::Request& request,
                                                          const std::stop_token& stop) {
    const std::string authority = http::parse_url(request.url).authority();
    try {
        auto response = client_->send(request, stop);
        const std::lock_guard lock(mutex_);
        unreachable_until_.erase(authority);
        if (endpoint.falls_back_to_http) {
            speaks_tls_[authority] = endpoint.base_url.starts_with("https");
        }
        return response;
    } catch (const Error& error) {
        if (error.code() != Errc::cancelled) {
            const std::lock_guard lock(mutex_);
            unreachable_until_[authority] = clock_() + kTimeWithoutHost;
        }
        throw;
    }
}

std::optional<bool> RequestSender::speaks_tls(const Endpoint& endpoint) {
    const std::lock_guard lock(mutex_);
    const auto known = speaks_tls_.find(http::parse_url(endpoint.base_url).authority());
    return known == speaks_tls_.end() ? std::nullopt : std::optional(known->second);
}

}  // namespace prebake::registry
