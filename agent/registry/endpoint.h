#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/http/message.h"
#include "agent/http/url.h"

namespace prebake::registry {

/// A rule of k3s and RKE2: mirrors may keep an image under another repository.
struct Rewrite {
    std::string pattern;      ///< a regular expression (ECMAScript), part of a repository
    std::string replacement;  ///< with $1, $01 for what the pattern's groups matched
    bool ignores_case = false;

    bool operator==(const Rewrite&) const = default;
};

/// One host that serves the images of a registry: the registry itself, or a mirror.
struct Endpoint {
    std::string base_url;  ///< "https://registry-1.docker.io", without a slash at its end
    http::TlsSettings tls = {};
    std::string path = "/v2";  ///< of the API
    /// Plain HTTP if it does not speak TLS: the base URL is https.
    bool falls_back_to_http = false;
    /// Whether it may say which digest a tag has.
    bool resolves = true;
    bool pulls = true;
    /// Whether it may say what refers to an image.
    bool lists_referrers = true;
    http::Headers headers = {};  ///< for each request to this host, on any port
    std::optional<std::chrono::milliseconds> dial_timeout = {};
    std::vector<Rewrite> rewrites = {};
    /// The registry that it stands in for, to be named in requests; empty for the registry itself.
    std::string mirror_of = {};

    bool operator==(const Endpoint&) const = default;

    /// The repository on this host. The first pattern that changes it decides.
    std::string repository_of(const std::string& repository) const;
};

/// The endpoints of `registry` ("docker.io", "localhost:5000") as containerd has them without a
/// hosts.toml: one.
std::vector<Endpoint> endpoints_of(std::string_view registry);

/// True for "localhost", 127.0.0.0/8 and ::1 (brackets allowed), without a port. Names below
/// .localhost are not loopback: some resolvers ask the DNS for them.
bool is_loopback(std::string_view host);

/// Adds the endpoint's headers to a request for its own host; another one gets none. Headers that
/// the request has stay as they are.
void add_headers_of(const Endpoint& endpoint, http::Request& request);

/// How to connect to `host` when the endpoint `from` redirects to it: as to the endpoint, as
/// containerd does. Only what is not verified because it is loopback stays so for loopback.
http::TlsSettings tls_towards(std::string_view host, const Endpoint& from);

/// How to connect to the token service of `from` on `host`, which gets credentials: if it is not
/// the endpoint's own host, it is verified, and sees no client certificate.
http::TlsSettings tls_for_service(std::string_view host, const Endpoint& from);

/// Whether credentials for the host of `url` may be sent to it with these settings, after `from`
/// redirected there. Not if it is another host, and nothing shows that it is the one it is called.
bool keeps_secrets(const http::Url& url, const http::TlsSettings& tls, const Endpoint& from);

}  // namespace prebake::registry
