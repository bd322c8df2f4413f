#pragma once

#include <filesystem>
#include <string_view>

namespace prebake::registry {

/// Where the kubelet of a machine finds its credential providers. Both are empty, or neither.
struct ProviderPlaces {
    std::filesystem::path config;    ///< a file, or a directory with such files
    std::filesystem::path programs;  ///< the directory of the providers' programs

    bool operator==(const ProviderPlaces&) const = default;
};

/// What the last --image-credential-provider-config and --image-credential-provider-bin-dir in a
/// text say: of a unit, an environment file or a script. Pure.
ProviderPlaces provider_flags_in(std::string_view text);

/// By the flags in the units and environment files of the kubelet below `root`; without those, the
/// usual places of EKS, AKS, k3s, RKE2 and GKE, if they exist. A configuration that is named but
/// missing does not count: it is made when the node joins its cluster. Paths are inside `root`.
ProviderPlaces find_providers(const std::filesystem::path& root);

}  // namespace prebake::registry
