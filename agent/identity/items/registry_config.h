#pragma once

#include <string>
#include <string_view>

namespace prebake::identity {

/// What happens to a registry configuration (config.json of Docker, auth.json of containers(5)).
struct RegistryConfig {
    enum class Verdict {
        stays,      ///< it holds no credentials
        rewritten,  ///< its new contents are `rest`
        removed     ///< it holds only credentials, or is not JSON
    };
    Verdict verdict = Verdict::stays;
    std::string rest = {};
};

/// Credentials are HttpHeaders and the entries of `auths` that are not empty. Credential helpers
/// and all other settings stay: clones log in with them. Pure.
RegistryConfig without_credentials(std::string_view json);

}  // namespace prebake::identity
