#include "agent/registry/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <iterator>
#include <regex>

#include "agent/http/url.h"

namespace prebake::registry {
namespace {

struct HostAndPort {
    std::string_view host;
    std::string_view port;
};

HostAndPort split(std::string_view registry) {
    const auto colon = registry.rfind(':');
    const auto bracket = registry.rfind(']');
    const bool has_port =
        colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
    if (!has_port) return {.host = registry, .port = {}};
    return {.host = registry.substr(0, colon), .port = registry.substr(colon + 1)};
}

/// All matches are replaced. An empty match right behind another one is none in Go: ".*" matches
/// once.
std::string rewritten_by(const Rewrite& rewrite, const std::string& repository) {
    const auto flags =
        rewrite.ignores_case ? std::regex::ECMAScript | std::regex::icase : std::regex::ECMAScript;
    const std::regex pattern(rewrite.pattern, flags);
    std::string text;
    auto done = repository.begin();
    const std::sregex_iterator first(repository.begin(), repository.end(), pattern);
    for (auto match = first; match != std::sregex_iterator(); ++match) {
        const auto& whole = (*match)[0];
        if (match != first && whole.length() == 0 && whole.first == done) continue;
        text.append(done, whole.first);
        match->format(std::back_inserter(text), rewrite.replacement);
        done = whole.second;
    }
    return text.append(done, repository.end());
}

/// On any port: a registry and its token service may share a machine.
bool is_on(std::string_view host, const Endpoint& endpoint) {
    return host == http::parse_url(endpoint.base_url).host;
}

}  // namespace

bool is_loopback(std::string_view host) {
    if (host == "localhost") return true;
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    }
    const std::string text(host);
    in_addr v4{};
    if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    in6_addr v6{};
    return ::inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string Endpoint::repository_of(const std::string& repository) const {
    for (const Rewrite& rewrite : rewrites) {
        std::string rewritten = rewritten_by(rewrite, repository);
        if (rewritten != repository) return rewritten;
    }
    return repository;
}

std::vector<Endpoint> endpoints_of(std::string_view registry) {
    if (registry == "docker.io") return {{.base_url = "https://registry-1.docker.io"}};
    const std::string name(registry);
    const auto [host, port] = split(registry);
    if (!is_loopback(host)) return {{.base_url = "https://" + name}};
    Endpoint loopback{.base_url = "https://" + name,
                      .tls = {.verification = http::TlsVerification::none}};
    if (port == "80") loopback.base_url = "http://" + name;
    // Otherwise the port does not tell which protocol it is.
    loopback.falls_back_to_http = !port.empty() && port != "443" && port != "80";
    return {loopback};
}

void add_headers_of(const Endpoint& endpoint, http::Request& request) {
    if (!is_on(http::parse_url(request.url).host, endpoint)) return;
    const http::Headers own = request.headers;
    for (const auto& [name, value] : endpoint.headers) {
        if (!http::find_header(own, name)) request.headers.emplace_back(name, value);
    }
}

http::TlsSettings tls_towards(std::string_view host, const Endpoint& from) {
    const bool for_loopback_only = from.tls.verification == http::TlsVerification::none &&
                                   is_loopback(http::parse_url(from.base_url).host);
    if (!for_loopback_only || is_loopback(host)) return from.tls;
    return {.place = from.tls.place};
}

http::TlsSettings tls_for_service(std::string_view host, const Endpoint& from) {
    http::TlsSettings tls = tls_towards(host, from);
    if (is_on(host, from)) return tls;
    tls.client_certificates.clear();
    const bool stays_here = is_loopback(host) && is_loopback(http::parse_url(from.base_url).host);
    if (!stays_here) tls.verification = http::TlsVerification::system_trust_store;
    return tls;
}

bool keeps_secrets(const http::Url& url, const http::TlsSettings& tls, const Endpoint& from) {
    const bool is_verified =
        url.tls && tls.verification == http::TlsVerification::system_trust_store;
    return is_verified || is_loopback(url.host) || is_on(url.host, from);
}

}  // namespace prebake::registry
