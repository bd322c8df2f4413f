#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/http/message.h"

namespace prebake::registry {

/// One place where a registry may be reached.
struct Endpoint {
    std::string base_url;  ///< "https://registry-1.docker.io", without a slash at its end
    http::TlsVerification tls = http::TlsVerification::system_trust_store;

    bool operator==(const Endpoint&) const = default;
};

/// Where to ask for the images of `registry` ("docker.io", "localhost:5000"), in this order, as
/// containerd has it without a hosts.toml. The mirrors of a hosts.toml will stand in front of
/// these.
std::vector<Endpoint> endpoints_of(std::string_view registry);

/// True for "localhost", 127.0.0.0/8 and ::1 (brackets allowed), without a port. Names below
/// .localhost are not: some resolvers ask the DNS for them, and loopback means that nobody is in
/// between.
bool is_loopback(std::string_view host);

/// What to ask of the certificate of `host` when the endpoint `from` sends us there.
http::TlsVerification tls_towards(std::string_view host, const Endpoint& from);

}  // namespace prebake::registry
