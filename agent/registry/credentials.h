#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prebake::registry {

/// What to show to a registry. Kept in memory only; never logged, never part of an Error.
struct Credentials {
    std::string username;
    std::string password;
    std::string identity_token;  ///< an OAuth2 refresh token, instead of username and password
    std::string registry_token;  ///< a bearer token to send as it is
    /// Why the source has no secret for this registry; goes into the error message.
    std::string note;

    bool anonymous() const {
        return username.empty() && password.empty() && identity_token.empty() &&
               registry_token.empty();
    }
};

/// Where credentials come from: the interface for credential helpers and cloud roles.
class CredentialSource {
  public:
    virtual ~CredentialSource() = default;
    /// Credentials for a registry host with its port ("docker.io", "localhost:5000"). Nothing, or
    /// an anonymous() value with a note, if there are none.
    /// @throws Error that names the source (never the secret) if it exists but cannot be read.
    virtual std::optional<Credentials> find(std::string_view registry) = 0;
};

}  // namespace prebake::registry
