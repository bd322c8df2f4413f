#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/image_list.h"
#include "agent/cli/config.h"
#include "agent/cli/exit_code.h"
#include "agent/cli/progress.h"
#include "agent/cli/stop_signals.h"
#include "agent/kubelet/advice.h"

namespace prebake::cli {

/// What every command gets: the configuration with flags and environment applied.
struct Invocation {
    Config config;
    std::string config_file;  ///< as --config names it; empty: the usual ones
    std::filesystem::path state_dir = "/var/lib/prebake";
    std::vector<std::string> named_namespaces;  ///< by flag or environment; empty: none
    std::string platform;                       ///< empty: of this machine
    bool json = false;
    bool quiet = false;
    const StopSignals& signals;
};

/// The images that plan and bake work on.
struct ImageArguments {
    std::vector<std::string> references;
    std::vector<std::string>
        lists;  ///< files, "-" for stdin; none of either: the configured directory
};

struct PlanArguments {
    std::vector<bake::ImageRequest> images;  ///< as read_images() gives them
    std::string lock_file;                   ///< empty: write none
};

struct BakeArguments {
    std::vector<bake::ImageRequest> images;  ///< as read_images() gives them
    ProgressStyle progress = ProgressStyle::automatic;
    bool ignore_space = false;
};

struct VerifyArguments {
    bool deep = false;
    bool sealed = false;
};

enum class SealAction {
    seal,
    check,        ///< report what is left
    list,         ///< the items
    at_shutdown,  ///< arm the unit that seals
    disarm,
    armed,  ///< what that unit runs
};

struct SealArguments {
    SealAction action = SealAction::seal;
    std::string root = "/";
    identity::SealScope scope;  ///< of configuration and flags together
    bool is_dry_run = false;
    bool is_sure = false;
};

enum class StatusForm { text, json, brief, prometheus };

struct StatusArguments {
    StatusForm form = StatusForm::text;
    std::optional<std::chrono::milliseconds> wait;  ///< for readiness; nothing: do not
};

struct KubeletConfigArguments {
    std::optional<kubelet::KubernetesVersion> version = {};  ///< nothing: ask the kubelet
    std::filesystem::path kubelet_root = "/var/lib/kubelet";
    bool is_check = false;  ///< only look for clashing records
};

struct FirstBootArguments {
    identity::firstboot::Stage stage = identity::firstboot::Stage::local;
};

/// One per file: plan_command.cc, bake_command.cc, ... @throws Error.
ExitCode plan_command(const Invocation& invocation, const PlanArguments& arguments);
ExitCode bake_command(const Invocation& invocation, const BakeArguments& arguments);
ExitCode verify_command(const Invocation& invocation, const VerifyArguments& arguments);
ExitCode seal_command(const Invocation& invocation, const SealArguments& arguments);
ExitCode daemon_command(const Invocation& invocation, StopSignals& signals);
ExitCode status_command(const Invocation& invocation, const StatusArguments& arguments);
ExitCode kubelet_config_command(const Invocation& invocation,
                                const KubeletConfigArguments& arguments);
ExitCode firstboot_command(const Invocation& invocation, const FirstBootArguments& arguments);

}  // namespace prebake::cli
