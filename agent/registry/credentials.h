#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace prebake::registry {

/// Whom credentials are for.
struct Repository {
    std::string registry;  ///< host and port: "docker.io", "localhost:5000"
    std::string path;      ///< "library/nginx"

    std::string name() const { return registry + "/" + path; }
};

/// What to show to a registry. Kept in memory only; never logged, never part of an Error.
struct Credentials {
    std::string username;
    std::string password;
    std::string identity_token;  ///< an OAuth2 refresh token, instead of username and password
    std::string registry_token;  ///< a bearer token to send as it is
    std::string source = {};     ///< where they are from, for messages: "/root/.docker/config.json"
    /// Why the source has no secret for this registry; goes into the error message.
    std::string note;

    bool anonymous() const {
        return username.empty() && password.empty() && identity_token.empty() &&
               registry_token.empty();
    }
};

/// Where credentials come from: files, helpers, clouds. Thread-safe.
class CredentialSource {
  public:
    virtual ~CredentialSource() = default;
    /// Nothing, or an anonymous() value with a note, if there are none.
    /// @throws Error that names the source (never the secret) if it exists but cannot be read;
    /// cancelled.
    virtual std::optional<Credentials> find(const Repository& repository,
                                            const std::stop_token& stop) = 0;
    /// What find() gives from now on for the repository, after the registry refused what it gave;
    /// nothing if there is nothing else, or nothing else may be tried. @throws Error as find().
    virtual std::optional<Credentials> find_other(const Repository& /*repository*/,
                                                  const Credentials& /*refused*/,
                                                  const std::stop_token& /*stop*/) {
        return std::nullopt;
    }
};

}  // namespace prebake::registry
