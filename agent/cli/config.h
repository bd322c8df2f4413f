#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/image_list.h"
#include "agent/base/file_trust.h"
#include "agent/guard/pin_budget.h"
#include "agent/hydrate/probe.h"
#include "agent/identity/firstboot/options.h"
#include "agent/identity/scope.h"
#include "agent/identity/secrets/scan.h"
#include "agent/identity/services.h"
#include "agent/report/endpoint.h"
#include "agent/trust/policy.h"

namespace prebake::cli {

/// The upper limit for readiness.deadline and status --wait.
inline constexpr std::chrono::hours kLongestDeadline{24};

/// All keys of /etc/prebake/prebake.toml with their defaults. Flags and environment variables
/// override them. packaging/prebake.toml describes each key for users; a test compares both.
struct Config {
    // [containerd]
    std::string address = "/run/containerd/containerd.sock";
    std::vector<std::string> namespaces{"k8s.io"};
    std::string snapshotter;  ///< empty: the default of CRI or the namespace
    std::filesystem::path containerd_config = "/etc/containerd/config.toml";  ///< only read

    // [docker]
    /// dockerd's socket. Empty: $DOCKER_HOST, or /var/run/docker.sock.
    std::string docker_host;
    bool start_docker = false;  ///< for a bake, if it does not run; it is stopped again

    // [bake]
    std::filesystem::path image_lists =
        "/etc/prebake/images.d";  ///< default lists of plan and bake
    std::filesystem::path traces =
        "/etc/prebake/traces.d";  ///< what was recorded of images that are baked here
    bake::SandboxRule sandbox = bake::SandboxRule::automatic;
    bake::Runtime runtime = bake::Runtime::automatic;  ///< of images that set none
    std::uint64_t memory = 64ULL << 20;                ///< bytes of download buffers
    std::uint64_t parallel_images = 3;
    std::uint64_t parallel_downloads = 6;
    std::uint64_t parallel_unpacks = 0;  ///< 0: as many as there are processors
    /// For another bake, or a repair by the daemon, to end.
    std::chrono::milliseconds lock_timeout{600'000};

    // [registry]
    /// Empty: $DOCKER_CONFIG/config.json or ~/.docker/config.json.
    std::filesystem::path docker_config;
    /// Directories with a hosts.toml for each registry. Empty: CRI's, then the usual ones.
    std::vector<std::filesystem::path> hosts_directories;
    /// Of the kubelet's credential providers. Empty: what this machine's kubelet uses.
    std::filesystem::path provider_config;
    std::filesystem::path provider_programs;
    std::chrono::milliseconds connect_timeout{30'000};
    std::chrono::milliseconds stall_timeout{60'000};
    std::uint64_t attempts = 5;
    std::string proxy;                  ///< empty: $HTTPS_PROXY and $HTTP_PROXY
    std::vector<std::string> no_proxy;  ///< empty: $NO_PROXY

    /// The tables [[trust]] of all files, in their order.
    std::vector<trust::Rule> trust_rules;

    // [seal]
    identity::SealScope seal;
    identity::ServicesToStop services;
    identity::secrets::SearchPlaces search;
    identity::secrets::ScanLimits scan;

    // [firstboot]
    identity::firstboot::FirstBootOptions first_boot;

    // [guard]
    bool keep_deleted = true;  ///< a lease keeps baked content whose names are deleted
    guard::PinLimits pin_limits{.min_free_ratio = 0.15};  ///< the kubelet's default threshold

    // [hydrate]
    hydrate::HydrateMode hydrate_mode = hydrate::HydrateMode::automatic;
    std::uint64_t hydrate_rate = 0;    ///< bytes a second; 0: no limit
    std::uint64_t hydrate_depth = 64;  ///< the most reads in flight
    std::chrono::milliseconds hydrate_deadline{900'000};

    // [readiness]
    std::vector<std::string> gates{"ContainerdServing", "ImagesPresent",   "ImagesUnpacked",
                                   "CriResolves",       "IdentityClaimed", "SealIntact"};
    std::chrono::milliseconds deadline{600'000};  ///< the default of status --wait

    // [report]
    report::EndpointOptions endpoint;
    bool ssm_inventory = true;

    bool operator==(const Config&) const = default;
};

inline constexpr const char* kDefaultConfigFile = "/etc/prebake/prebake.toml";

/// Reads `file` if given (it must exist); it may belong to a user as `whose` says. Otherwise reads
/// kDefaultConfigFile, then conf.d/*.toml next to it in the order of their names; none of them has
/// to exist. Later files override single keys. A file that other users can change is an error.
/// @throws Error usage that names file, line and key, and for an unknown key the nearest known key.
Config read_config(const std::optional<std::filesystem::path>& file,
                   WhoseFile whose = WhoseFile::invokers);

/// The files that read_config() reads, in that order.
std::vector<std::filesystem::path> config_files(const std::optional<std::filesystem::path>& file);

/// What bake.runtime and --runtime may say.
const std::map<std::string, bake::Runtime>& runtime_words();

/// The names of all keys, as "table.key". Not of the rules of trust, of which there may be many.
std::vector<std::string> config_keys();

}  // namespace prebake::cli
