#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "agent/registry/endpoint.h"

/// hosts.toml: the hosts that serve the images of a registry (containerd's docs/hosts.md).
namespace prebake::registry {

/// The endpoints of `registry` in the order to try them: the file's hosts, in the order of the
/// file, then its server, or the registry itself. `file` is its place: certificates are relative to
/// it. Keys that we do not know are ignored, as in containerd. Pure.
/// @throws Error usage that names file, line and key.
std::vector<Endpoint> parse_hosts_file(std::string_view text, const std::filesystem::path& file,
                                       std::string_view registry);

}  // namespace prebake::registry
