#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace prebake::registry {

/// What a registry may be shown. Kept in memory only; never logged, never part of an Error.
struct Credentials {
    std::string username;
    std::string password;
    std::string identity_token;  ///< an OAuth2 refresh token, instead of username and password
    std::string registry_token;  ///< a bearer token to send as it is
    /// Why there is no secret although the source knows the registry, for the message of a refusal.
    std::string note;

    bool anonymous() const {
        return username.empty() && password.empty() && identity_token.empty() &&
               registry_token.empty();
    }
};

/// Where credentials come from. The seam for credential helpers and cloud roles.
class CredentialSource {
  public:
    virtual ~CredentialSource() = default;
    /// Credentials for a registry host with its port ("docker.io", "localhost:5000"). Nothing, or
    /// ones that are anonymous() with a note: none.
    /// @throws Error that names the source (never the secret) when it exists but cannot be read.
    virtual std::optional<Credentials> find(std::string_view registry) = 0;
};

/// The `auths` of a Docker config.json: exact key, else host and port of the key (scheme and path
/// stripped); docker.io is https://index.docker.io/v1/. A missing file means no credentials.
std::unique_ptr<CredentialSource> docker_config_credentials(std::filesystem::path file);

/// $DOCKER_CONFIG/config.json, else $HOME/.docker/config.json; nothing when neither variable is
/// set.
std::optional<std::filesystem::path> default_docker_config();

}  // namespace prebake::registry
