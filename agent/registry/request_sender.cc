#include "agent/registry/request_sender.h"

#include <algorithm>
#include <utility>

#include "agent/base/error.h"
#include "agent/http/url.h"
#include "agent/registry/challenge.h"
#include "agent/registry/status.h"

namespace prebake::registry {
namespace {

/// One more is an error. Registries redirect once or twice.
constexpr int kMaxRedirects = 10;

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// At least a millisecond: the client reports that the deadline passed.
std::optional<std::chrono::milliseconds> time_left(const RepositoryRequest& request) {
    using std::chrono::milliseconds;
    if (!request.deadline) return {};
    const auto left = std::chrono::duration_cast<milliseconds>(*request.deadline -
                                                               std::chrono::steady_clock::now());
    return std::max(left, milliseconds(1));
}

/// The URL that a redirect from `url` leads to.
std::string redirect_target(const http::Response& response, const std::string& url) {
    const auto location = http::find_header(response.headers, "Location");
    if (!location) {
        throw Error(Errc::corrupt,
                    http::parse_url(url).authority() + " redirects without a Location");
    }
    std::string target = in_context(http::parse_url(url).authority(),
                                    [&] { return http::resolve_location(url, *location); });
    if (http::parse_url(url).tls && !http::parse_url(target).tls) {
        throw Error(Errc::permission_denied,
                    http::parse_url(url).authority() + " redirects to " +
                        http::parse_url(target).origin() + ", which is not encrypted",
                    "let it redirect to https");
    }
    return target;
}

}  // namespace

RequestSender::RequestSender(std::shared_ptr<http::Client> client,
                             std::shared_ptr<CredentialSource> credentials)
    : client_(std::move(client)), authorizer_(client_, std::move(credentials)) {}

std::unique_ptr<http::Response> RequestSender::send(const oci::Reference& repository,
                                                    const RepositoryRequest& request,
                                                    const std::stop_token& stop) {
    std::vector<Endpoint> endpoints = candidates(repository.registry);
    for (; endpoints.size() > 1; endpoints.erase(endpoints.begin())) {
        try {
            return send_to(endpoints.front(), repository, request, stop);
        } catch (const Error& error) {
            // The next endpoint is tried only if there was no connection to this one.
            if (error.code() != Errc::unavailable) throw;
            const std::vector<Endpoint> now = candidates(repository.registry);
            if (now.front() == endpoints.front() && now.size() == 1) throw;
            // Meanwhile another thread has found the endpoint that responds.
            if (now.size() == 1) return send_to(now.front(), repository, request, stop);
        }
    }
    return send_to(endpoints.front(), repository, request, stop);
}

std::unique_ptr<http::Response> RequestSender::send_to(const Endpoint& endpoint,
                                                       const oci::Reference& repository,
                                                       const RepositoryRequest& request,
                                                       const std::stop_token& stop) {
    const Audience audience{
        .repository = {.registry = repository.registry, .path = repository.repository},
        .endpoint = endpoint,
        .scope = "repository:" + repository.repository + ":pull"};
    std::optional<std::string> authorization = authorizer_.known(audience);
    Reply reply = follow(audience, request, authorization, stop);
    if (reply.response->status == 401 && reply.redirected_to.empty()) {
        const auto challenges =
            parse_challenges(http::find_headers(reply.response->headers, "WWW-Authenticate"));
        http::discard_body(*reply.response);
        authorization = authorizer_.authorize(audience, challenges, authorization, stop);
        reply = follow(audience, request, authorization, stop);
    }
    const int status = reply.response->status;
    if ((status >= 200 && status < 300) ||
        (status == request.expected_error_status && reply.redirected_to.empty())) {
        return std::move(reply.response);
    }
    if (!reply.redirected_to.empty()) {
        throw_status(*reply.response, reply.redirected_to + ", where the registry redirects to,",
                     "check that this machine may reach it: firewall, VPC endpoint policy, clock");
    }
    // 401 and 403 may also mean that there is no such repository (Docker Hub, GHCR).
    const bool maybe_absent = status == 401 || status == 403;
    const std::string hint = maybe_absent ? authorizer_.login_hint(audience.repository, stop) : "";
    const std::string who = maybe_absent ? "it does not exist or may not be pulled with these "
                                           "credentials: the registry"
                                         : "the registry";
    throw_status(*reply.response, who, hint);
}

RequestSender::Reply RequestSender::follow(const Audience& audience,
                                           const RepositoryRequest& request,
                                           const std::optional<std::string>& authorization,
                                           const std::stop_token& stop) {
    const std::string registry = http::parse_url(audience.endpoint.base_url).authority();
    http::Request http_request{.method = request.method,
                               .url = audience.endpoint.base_url + request.path,
                               .headers = request.headers,
                               .body = {},
                               .tls = audience.endpoint.tls};
    if (authorization) http_request.headers.emplace_back("Authorization", *authorization);
    std::string redirected_to;
    for (int redirects = 0; redirects <= kMaxRedirects; ++redirects) {
        http_request.time_limit = time_left(request);
        auto response = client_->send(http_request, stop);
        if (redirects == 0) remember(audience.repository.registry, audience.endpoint);
        if (!is_redirect(response->status)) {
            return Reply{.response = std::move(response), .redirected_to = redirected_to};
        }
        http::discard_body(*response);
        http_request.url = redirect_target(*response, http_request.url);
        const http::Url target = http::parse_url(http_request.url);
        http_request.tls = tls_towards(target.host, audience.endpoint);
        http_request.allows_link_local = false;
        if (target.authority() != registry) {
            // From here on without the Authorization: signed URLs refuse it, and a redirect from
            // another host back to the registry must not use it.
            http_request.headers = request.headers;
            redirected_to = target.authority();
        }
    }
    throw Error(Errc::unsupported,
                "the registry redirects more than " + std::to_string(kMaxRedirects) + " times");
}

std::vector<Endpoint> RequestSender::candidates(const std::string& registry) {
    const std::lock_guard lock(mutex_);
    const auto found = responding_.find(registry);
    if (found != responding_.end()) return {found->second};
    return endpoints_of(registry);
}

void RequestSender::remember(const std::string& registry, const Endpoint& endpoint) {
    const std::lock_guard lock(mutex_);
    responding_.emplace(registry, endpoint);
}

}  // namespace prebake::registry
