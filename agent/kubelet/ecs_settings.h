#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The files of the ECS agent, read as the agent and ecs-init, which starts it in a container, read
/// them. ecs-init passes on what /var/lib/ecs/ecs.config and /etc/ecs/ecs.config have, not its own
/// environment: drop-ins of ecs.service do not count. Pure.
namespace prebake::kubelet {

inline constexpr std::string_view kEcsPullBehavior = "ECS_IMAGE_PULL_BEHAVIOR";
inline constexpr std::string_view kEcsExclusions = "ECS_EXCLUDE_UNTRACKED_IMAGE";
inline constexpr std::string_view kEcsUntrackedCleanup = "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP";
inline constexpr std::string_view kEcsNoCleanup = "ECS_DISABLE_IMAGE_CLEANUP";
/// The only value with which the agent uses a baked image without the registry.
inline constexpr std::string_view kEcsPreferCached = "prefer-cached";

struct EcsFile {
    std::string path;
    std::string text;
};

/// One setting at the place where it stands.
struct EcsVariable {
    std::string key;
    std::string value;
    std::string file;
    std::size_t line = 0;  ///< from 1; 0: the file is JSON
};

/// The variables in a file, in their order. Each line with a "=" is one, in every other respect
/// as it is written: unlike a shell and systemd, ecs-init knows no quotes and no comments, and
/// spaces at the "=" belong to key and value.
std::vector<EcsVariable> parse_ecs_variables(const EcsFile& file);

enum class EcsPullBehavior {
    by_default,  ///< asks the registry, pulls; uses what is there only if that fails
    always,      ///< the same, but the task fails
    once,        ///< pulls what this agent has not pulled yet
    prefer_cached,
};

/// What the agent makes of its files.
struct EcsSettings {
    EcsPullBehavior pull_behavior = EcsPullBehavior::by_default;
    std::vector<std::string> exclusions;  ///< from its cleanup
    bool removes_untracked = false;       ///< images that no task has used, too
    bool cleanup_is_disabled = false;
    /// By key: what decides, or is set but means nothing to the agent.
    std::map<std::string, EcsVariable, std::less<>> places;
    /// By key: a line that is meant to set it, but does not ("export KEY=x", "KEY = x").
    std::map<std::string, EcsVariable, std::less<>> misspelt;
};

/// The path of the agent's JSON file; empty: none. `variables` are the files in the order in which
/// ecs-init reads them; later ones win.
std::string ecs_json_path(const std::vector<EcsFile>& variables);

/// JSON counts where the variables leave a setting at its default. What is wrong with the document
/// goes to `warnings`.
EcsSettings read_ecs_settings(const std::vector<EcsFile>& variables,
                              const std::optional<EcsFile>& json,
                              std::vector<std::string>& warnings);

/// The entries of a comma-separated list, as the agent splits it.
std::vector<std::string> split_ecs_list(std::string_view list);

}  // namespace prebake::kubelet
