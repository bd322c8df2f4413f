#include "agent/registry/transport.h"

#include <utility>

#include "agent/base/error.h"
#include "agent/registry/challenge.h"
#include "agent/registry/status.h"
#include "agent/registry/url.h"

namespace prebake::registry {
namespace {

/// One more is an error. Registries redirect once or twice.
constexpr int kMaxRedirects = 10;

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// The URL that a redirect from `url` leads to.
std::string redirect_target(const HttpResponse& response, const std::string& url) {
    const auto location = find_header(response.headers, "Location");
    if (!location) {
        throw Error(Errc::corrupt, parse_url(url).authority() + " redirects without a Location");
    }
    std::string target =
        in_context(parse_url(url).authority(), [&] { return resolve_location(url, *location); });
    if (parse_url(url).tls && !parse_url(target).tls) {
        throw Error(Errc::permission_denied,
                    parse_url(url).authority() + " redirects to " + parse_url(target).origin() +
                        ", which is not encrypted",
                    "let it redirect to https");
    }
    return target;
}

}  // namespace

Transport::Transport(std::shared_ptr<HttpClient> http,
                     std::shared_ptr<CredentialSource> credentials)
    : http_(std::move(http)), authorizer_(http_, std::move(credentials)) {}

std::unique_ptr<HttpResponse> Transport::send(const oci::Reference& repository,
                                              const RegistryRequest& request,
                                              const std::stop_token& stop) {
    std::vector<Endpoint> endpoints = candidates(repository.registry);
    for (; endpoints.size() > 1; endpoints.erase(endpoints.begin())) {
        try {
            return send_to(endpoints.front(), repository, request, stop);
        } catch (const Error& error) {
            // Only an endpoint that did not talk to us at all passes the turn to the next one.
            if (error.code() != Errc::unavailable) throw;
            const std::vector<Endpoint> now = candidates(repository.registry);
            if (now.front() == endpoints.front() && now.size() == 1) throw;
            // Meanwhile another thread has found out which one answers.
            if (now.size() == 1) return send_to(now.front(), repository, request, stop);
        }
    }
    return send_to(endpoints.front(), repository, request, stop);
}

std::unique_ptr<HttpResponse> Transport::send_to(const Endpoint& endpoint,
                                                 const oci::Reference& repository,
                                                 const RegistryRequest& request,
                                                 const std::stop_token& stop) {
    const Audience audience{.registry = repository.registry,
                            .endpoint = endpoint,
                            .scope = "repository:" + repository.repository + ":pull"};
    std::optional<std::string> authorization = authorizer_.known(audience);
    Reply reply = follow(audience, request, authorization, stop);
    if (reply.response->status == 401 && reply.redirected_to.empty()) {
        const auto challenges =
            parse_challenges(find_headers(reply.response->headers, "WWW-Authenticate"));
        discard_body(*reply.response);
        authorization = authorizer_.answer(audience, challenges, authorization, stop);
        reply = follow(audience, request, authorization, stop);
    }
    const int status = reply.response->status;
    if ((status >= 200 && status < 300) ||
        (status == request.expected_refusal && reply.redirected_to.empty())) {
        return std::move(reply.response);
    }
    if (!reply.redirected_to.empty()) {
        throw_status(*reply.response, reply.redirected_to + ", where the registry redirects to,",
                     "check that this machine may reach it: firewall, VPC endpoint policy, clock");
    }
    // Registries do not tell a stranger what exists: 401 and 403 may also mean that there is no
    // such repository (Docker Hub, GHCR).
    const bool maybe_absent = status == 401 || status == 403;
    const std::string hint = maybe_absent ? authorizer_.login_hint(repository.registry) : "";
    const std::string who = maybe_absent ? "it does not exist or may not be pulled with these "
                                           "credentials: the registry"
                                         : "the registry";
    throw_status(*reply.response, who, hint);
}

Transport::Reply Transport::follow(const Audience& audience, const RegistryRequest& request,
                                   const std::optional<std::string>& authorization,
                                   const std::stop_token& stop) {
    const std::string registry = parse_url(audience.endpoint.base_url).authority();
    HttpRequest http_request{.method = request.method,
                             .url = audience.endpoint.base_url + request.path,
                             .headers = request.headers,
                             .body = {},
                             .tls = audience.endpoint.tls};
    if (authorization) http_request.headers.emplace_back("Authorization", *authorization);
    std::string redirected_to;
    for (int redirects = 0; redirects <= kMaxRedirects; ++redirects) {
        auto response = http_->send(http_request, stop);
        if (redirects == 0) remember(audience.registry, audience.endpoint);
        if (!is_redirect(response->status)) {
            return Reply{.response = std::move(response), .redirected_to = redirected_to};
        }
        discard_body(*response);
        http_request.url = redirect_target(*response, http_request.url);
        const Url target = parse_url(http_request.url);
        http_request.tls = tls_towards(target.host, audience.endpoint);
        if (target.authority() != registry) {
            // For good: signed URLs refuse it, and whoever redirects back to the registry is not
            // trusted to choose what we ask it for.
            http_request.headers = request.headers;
            redirected_to = target.authority();
        }
    }
    throw Error(Errc::unsupported,
                "the registry redirects more than " + std::to_string(kMaxRedirects) + " times");
}

std::vector<Endpoint> Transport::candidates(const std::string& registry) {
    const std::lock_guard lock(mutex_);
    const auto found = answering_.find(registry);
    if (found != answering_.end()) return {found->second};
    return endpoints_of(registry);
}

void Transport::remember(const std::string& registry, const Endpoint& endpoint) {
    const std::lock_guard lock(mutex_);
    answering_.emplace(registry, endpoint);
}

}  // namespace prebake::registry
