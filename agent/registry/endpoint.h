#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/http/message.h"

namespace prebake::registry {

/// One address of a registry.
struct Endpoint {
    std::string base_url;  ///< "https://registry-1.docker.io", without a slash at its end
    http::TlsSettings tls = {};

    bool operator==(const Endpoint&) const = default;
};

/// The endpoints of `registry` ("docker.io", "localhost:5000") in the order to try them, as
/// containerd has them without a hosts.toml. The mirrors of a hosts.toml will come before these.
std::vector<Endpoint> endpoints_of(std::string_view registry);

/// True for "localhost", 127.0.0.0/8 and ::1 (brackets allowed), without a port. Names below
/// .localhost are not loopback: some resolvers ask the DNS for them.
bool is_loopback(std::string_view host);

/// How to connect to `host` when the endpoint `from` redirects or refers to it: as to the endpoint,
/// as containerd does. Only what is not verified because it is loopback stays so for loopback.
http::TlsSettings tls_towards(std::string_view host, const Endpoint& from);

}  // namespace prebake::registry
