#pragma once

#include <string>
#include <string_view>

namespace prebake::identity {

/// What becomes of a registry configuration (config.json of Docker, auth.json of containers(5)).
struct RegistryConfig {
    enum class Verdict {
        stays,      ///< it holds no credentials
        rewritten,  ///< it is to say `rest` instead
        goes        ///< it is nothing but credentials, or cannot be read
    };
    Verdict verdict = Verdict::stays;
    std::string rest = {};
};

/// Credentials are the entries of `auths` that say more than the registry's name, and HttpHeaders.
/// Credential helpers and all other settings stay: clones log in with them. Pure.
RegistryConfig without_credentials(std::string_view json);

}  // namespace prebake::identity
