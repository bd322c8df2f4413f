#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/guard/pin_budget.h"
#include "agent/identity/firstboot/options.h"
#include "agent/identity/scope.h"
#include "agent/identity/secrets/scan.h"
#include "agent/identity/services.h"
#include "agent/report/endpoint.h"

namespace prebake::cli {

/// What anybody may be told to wait for readiness.
inline constexpr std::chrono::hours kLongestDeadline{24};

/// Everything that /etc/prebake/prebake.toml can say, with its defaults. Flags and environment
/// variables override it. packaging/prebake.toml tells users what each key means; a test holds it
/// against this.
struct Config {
    // [containerd]
    std::string address = "/run/containerd/containerd.sock";
    std::vector<std::string> namespaces{"k8s.io"};
    std::string snapshotter;  ///< empty: the one that each namespace's clients use
    std::filesystem::path containerd_config = "/etc/containerd/config.toml";  ///< only read

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
    identity::secrets::ScanLimits scan;

    // [firstboot]
    identity::firstboot::FirstBootOptions first_boot;

    // [guard]
    guard::PinLimits pin_limits{.min_free_ratio = 0.15};  ///< the kubelet's own default threshold

    // [readiness]
    std::vector<std::string> gates{"ContainerdServing", "ImagesPresent",   "ImagesUnpacked",
                                   "CriResolves",       "IdentityClaimed", "SealIntact"};
    std::chrono::milliseconds deadline{600'000};  ///< of who waits for it without a number

    // [report]
    report::EndpointOptions endpoint;
    bool ssm_inventory = true;

    bool operator==(const Config&) const = default;
};

inline constexpr const char* kDefaultConfigFile = "/etc/prebake/prebake.toml";

/// Reads `file` if given (it must exist), else kDefaultConfigFile and conf.d/*.toml beside it in
/// the order of their names, all of which may be missing. Later files override single keys of
/// earlier ones.
/// @throws Error usage that names file, line and key; an unknown key's message names the nearest
/// known one.
Config read_config(const std::optional<std::filesystem::path>& file);

/// The names of all keys, as "table.key".
std::vector<std::string> config_keys();

}  // namespace prebake::cli
