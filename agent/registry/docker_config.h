#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "agent/registry/credentials.h"

namespace prebake::registry {

/// The `auths` of a Docker config.json: exact key, else host and port of the key (scheme and path
/// stripped); docker.io is https://index.docker.io/v1/. A missing file means no credentials;
/// one that other users can change is an error (base/file_trust.h).
std::unique_ptr<CredentialSource> docker_config_credentials(std::filesystem::path file);

/// $DOCKER_CONFIG/config.json, else $HOME/.docker/config.json; nothing when neither variable is
/// set.
std::optional<std::filesystem::path> default_docker_config();

}  // namespace prebake::registry
