#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/http/url.h"

namespace prebake::http {

/// Where a proxy was configured.
struct ProxySetting {
    std::string url;     ///< may hold a password; empty: no proxy
    std::string source;  ///< the name of the variable or key, for errors

    bool operator==(const ProxySetting&) const = default;
};

/// Which proxies this machine wants to be used.
struct ProxySettings {
    ProxySetting for_http;   ///< for requests to http URLs
    ProxySetting for_https;  ///< for requests to https URLs
    /// Hosts to reach without a proxy, separated by commas or white space: "example.com" (with all
    /// names below it), ".example.com" (only those), an address, an address range (CIDR), each
    /// with ":PORT" if only that port is meant; or "*". What is malformed matches nothing.
    std::string no_proxy;

    bool operator==(const ProxySettings&) const = default;
};

/// HTTPS_PROXY, HTTP_PROXY and NO_PROXY. As in Go, and so in containerd: the same in lower case
/// counts if the one in upper case is empty; ALL_PROXY does not count; HTTP_PROXY does not where
/// REQUEST_METHOD is set, because a client of a CGI program chooses it there.
ProxySettings proxies_of_environment(
    const std::function<std::string(const char* name)>& environment);

/// The same as environment variables, for other programs; none without a proxy. None either if
/// there is a password, which does not belong into an environment. The metadata services of clouds
/// are exempt: not every program knows that itself.
std::vector<std::pair<std::string, std::string>> variables_of(const ProxySettings& settings);

/// An HTTP proxy.
struct Proxy {
    Url server;                 ///< tls: TLS to the proxy
    std::string authorization;  ///< for the Proxy-Authorization header: a secret; empty: none
    std::string source;         ///< as in ProxySetting

    /// "the proxy proxy.example:3128"
    std::string name() const { return "the proxy " + server.authority(); }
};

/// @throws Error usage if the URL is malformed, or is not one of an HTTP proxy. It does not quote
/// the URL.
Proxy parse_proxy(const ProxySetting& setting);

/// The proxy for requests to `url`; nothing: connect to its host. localhost, loopback and
/// link-local addresses, where a cloud serves the credentials of this machine, are never reached
/// through a proxy.
/// @throws Error like parse_proxy().
std::optional<Proxy> proxy_for(const ProxySettings& settings, const Url& url);

}  // namespace prebake::http
