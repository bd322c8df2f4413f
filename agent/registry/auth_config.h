#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/registry/credentials.h"

/// The JSON that `docker login`, `skopeo login` and pull secrets write: config.json, auth.json, and
/// the older .dockercfg, whose entries are not below "auths". Entries are found by the rules of
/// Docker, containers-auth.json(5) and the kubelet together.
namespace prebake::registry {

/// Limit of such a file.
inline constexpr std::size_t kMaxAuthConfigBytes = 1UL << 20;

/// What an entry's key says: "https://index.docker.io/v1/", "quay.io/team", "*.example.com:5000".
struct AuthKey {
    std::string host;  ///< lower case, with its port; "docker.io" for each of Docker Hub's names
    std::vector<std::string> path;  ///< empty: all repositories

    /// Without a scheme and the default port of https.
    static AuthKey parse(std::string_view key);
    /// How specific the key is for the repository; nothing if it is for others. A key with a path
    /// is for the repositories below it: another team's robot never gets them. An API version (v1,
    /// v2) at its beginning counts as part of a repository's name, or not at all. In a host '*',
    /// '?' and "[a-z]" stand for characters of a label, as in the kubelet.
    std::optional<std::size_t> match(const Repository& repository) const;
};

/// One such document.
class AuthConfig {
  public:
    /// `name` stands for the document in errors, which never quote it.
    /// @throws Error usage if it is no JSON object.
    AuthConfig(std::string_view json, std::string name);

    /// From `auths`, by the most specific key. Nothing if that has no secret.
    /// @throws Error usage if it cannot be read.
    std::optional<Credentials> find(const Repository& repository) const;
    /// The helper in `credHelpers` for the registry, without "docker-credential-"; or empty.
    std::string helper_for(const Repository& repository) const;
    /// The helper for all registries (`credsStore`), or empty.
    const std::string& default_helper() const { return default_helper_; }

  private:
    struct Entry {
        std::string key;
        std::string auth;
        Credentials plain;  ///< its other fields
    };
    struct Helper {
        std::string key;
        std::string name;
    };

    Credentials decode(const Entry& entry) const;

    std::string name_;
    std::vector<Entry> entries_;
    std::vector<Helper> helpers_;
    std::string default_helper_;
};

}  // namespace prebake::registry
