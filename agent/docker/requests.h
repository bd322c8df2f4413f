#pragma once

#include <chrono>
#include <string>

#include "agent/docker/api_version.h"
#include "agent/docker/engine.h"

/// The texts of requests to dockerd: paths, which follow the version, and a header. Pure.
namespace prebake::docker {

std::string inspect_path(const std::string& name);
std::string tag_path(const std::string& name, const oci::Reference& tag);
/// @throws Error unsupported if an engine of this version cannot pull for that platform.
std::string pull_path(const PullRequest& pull, ApiVersion version);
/// Of containers and images.
std::string events_path(std::chrono::system_clock::time_point since);

/// For X-Registry-Auth. dockerd ignores a header that it cannot decode.
std::string auth_header(const RegistryLogin& login);

}  // namespace prebake::docker
