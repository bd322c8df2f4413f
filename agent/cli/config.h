#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/identity/first_boot.h"
#include "agent/identity/seal.h"

namespace prebake::cli {

/// Everything that /etc/prebake/prebake.toml can say, with its defaults. Flags and environment
/// variables override it.
struct Config {
    // [containerd]
    std::string address = "/run/containerd/containerd.sock";
    std::vector<std::string> namespaces{"k8s.io"};
    std::string snapshotter;  ///< empty: the one that each namespace's clients use

    // [bake]
    std::filesystem::path image_lists = "/etc/prebake/images.d";  ///< baked when no list is named
    std::uint64_t memory = 64ULL << 20;                           ///< bytes of download buffers
    std::uint64_t parallel_images = 3;
    std::uint64_t parallel_downloads = 6;

    // [registry]
    std::filesystem::path
        docker_config;  ///< empty: $DOCKER_CONFIG/config.json, ~/.docker/config.json
    std::chrono::milliseconds connect_timeout{30'000};
    std::chrono::milliseconds stall_timeout{60'000};
    std::uint64_t attempts = 5;

    // [seal]
    identity::SealScope seal;
    identity::ServicesToStop services;
    identity::ScanLimits scan;

    // [firstboot]
    identity::FirstBootOptions first_boot;
};

inline constexpr const char* kDefaultConfigFile = "/etc/prebake/prebake.toml";

/// Reads `file` if given (it must exist), else kDefaultConfigFile and conf.d/*.toml beside it in
/// the order of their names, all of which may be missing. Later files override single keys of
/// earlier ones.
/// @throws Error usage that names file, line and key; an unknown key's message names the nearest
/// known one.
Config read_config(const std::optional<std::filesystem::path>& file);

}  // namespace prebake::cli
