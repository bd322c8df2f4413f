#pragma once

#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include "agent/registry/endpoint.h"

/// The directories with a hosts.toml, or with Docker's certificate files, for each registry:
/// /etc/containerd/certs.d, /etc/docker/certs.d.
namespace prebake::registry {

/// Which endpoints a registry has, in the order to try them.
using EndpointsOf = std::function<std::vector<Endpoint>(std::string_view registry)>;

/// The directory of the registry, by containerd's rules: in the first root that has one, that of
/// host and port ("HOST_PORT_", "HOST:PORT"), else "_default". Empty if there is none.
/// @throws Error io.
std::filesystem::path find_hosts_directory(const std::vector<std::filesystem::path>& roots,
                                           std::string_view registry);

/// By the directory's hosts.toml. Without one, or if it is empty, the registry itself, with the CA
/// (*.crt) and the client certificates (*.cert, *.key) in the directory.
/// @throws Error as parse_hosts_file() and read_trusted_file().
std::vector<Endpoint> read_hosts_directory(const std::filesystem::path& directory,
                                           std::string_view registry);

/// By the directory of the registry; without one, as endpoints_of(). Settings for TLS name the
/// hosts.toml that counts, or would count: of the first root, if no root has a directory.
EndpointsOf endpoints_below(std::vector<std::filesystem::path> roots);

}  // namespace prebake::registry
