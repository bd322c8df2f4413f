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
#include "agent/report/goal.h"

namespace prebake::cli {

/// Passed to every command: the configuration with flags and environment applied.
struct Invocation {
    Config config;
    std::string config_file;  ///< --config; empty: the default files
    std::filesystem::path state_dir = "/var/lib/prebake";
    std::vector<std::string> named_namespaces;  ///< from flag or environment; empty: none
    std::string platform;                       ///< empty: the platform of this machine
    std::filesystem::path auth_file;            ///< --authfile; empty: none
    std::optional<std::string> credentials;     ///< what --authfile - has read
    bool json = false;
    bool quiet = false;
    const StopSignals& signals;
};

/// The images that plan and bake work on.
struct ImageArguments {
    std::vector<std::string> references;
    /// Files, "-" for stdin. Without references and lists: the configured directory.
    std::vector<std::string> lists;
};

struct PlanArguments {
    std::vector<bake::ImageRequest> images;  ///< from read_images()
    std::string lock_file;                   ///< empty: write no lock; "-": to standard output
};

struct BakeArguments {
    std::vector<bake::ImageRequest> images;  ///< from read_images()
    ProgressStyle progress = ProgressStyle::automatic;
    bool ignore_space = false;
    bool require_cri = false;
    std::chrono::milliseconds lock_timeout{0};
};

struct VerifyArguments {
    bool deep = false;
    bool repair = false;
    bool sealed = false;
};

enum class SealAction {
    seal,
    check,        ///< report residue
    list,         ///< show the items
    at_shutdown,  ///< arm the unit that seals
    disarm,
    armed,  ///< run by that unit
};

struct SealArguments {
    SealAction action = SealAction::seal;
    std::string root = "/";
    identity::SealScope scope;  ///< from the configuration and flags
    bool is_dry_run = false;
    bool is_sure = false;
};

enum class StatusFormat { text, json, brief, prometheus };

struct StatusArguments {
    StatusFormat form = StatusFormat::text;
    std::optional<std::chrono::milliseconds> wait;  ///< for the goal; nothing: do not wait
    report::Goal goal = report::Goal::ready;
    bool is_trace = false;  ///< instead of the status, what record --boot has recorded
};

struct KubeletConfigArguments {
    std::optional<kubelet::KubernetesVersion> version = {};  ///< nothing: ask the kubelet
    std::filesystem::path kubelet_root = "/var/lib/kubelet";
    bool is_check = false;  ///< only find clashing records
};

enum class EcsConfigAction {
    print,
    check,  ///< find settings that clash
    write,  ///< merge the settings into the agent's file
};

struct EcsConfigArguments {
    EcsConfigAction action = EcsConfigAction::print;
    std::string root = "/";
};

struct FirstBootArguments {
    identity::firstboot::Stage stage = identity::firstboot::Stage::local;
};

struct HydrateArguments {
    bool reads_all = false;  ///< to the end, without stepping aside
    bool reads_again = false;
    std::chrono::milliseconds read_limit{90'000};
    std::filesystem::path runtime_dir;  ///< empty: where the daemon looks
};

struct RecordArguments {
    std::string reference;             ///< empty: the only one that was baked
    std::vector<std::string> command;  ///< empty: what the image says
    std::optional<std::chrono::milliseconds> time_limit = {};
    std::string until_ready;  ///< a shell command of this machine; empty: none
    bool uses_host_network = false;
    bool is_boot = false;     ///< of the machine, not of an image
    std::string output_file;  ///< empty: in the directory of traces; "-": standard output
};

/// One per file: plan_command.cc, bake_command.cc, ... @throws Error.
ExitCode plan_command(const Invocation& invocation, const PlanArguments& arguments);
ExitCode bake_command(const Invocation& invocation, const BakeArguments& arguments);
ExitCode verify_command(const Invocation& invocation, const VerifyArguments& arguments);
ExitCode seal_command(const Invocation& invocation, const SealArguments& arguments);
ExitCode daemon_command(const Invocation& invocation, StopSignals& signals);
ExitCode hydrate_command(const Invocation& invocation, const HydrateArguments& arguments);
ExitCode status_command(const Invocation& invocation, const StatusArguments& arguments);
ExitCode kubelet_config_command(const Invocation& invocation,
                                const KubeletConfigArguments& arguments);
ExitCode ecs_config_command(const Invocation& invocation, const EcsConfigArguments& arguments);
/// Reports which files were read; main.cc has read them, or failed. `file` is that of --config.
/// Also reads the keys of the rules of trust.
ExitCode config_command(const Config& config, const std::string& file, bool json, bool quiet);
enum class VersionDetail { version, with_libraries };  ///< libraries of others in the program
/// Prints to standard output, as a document if `is_json`.
void print_version(VersionDetail detail, bool is_json);
ExitCode record_command(const Invocation& invocation, const RecordArguments& arguments);
/// In record_boot.cc.
ExitCode record_boot_command(const Invocation& invocation, const RecordArguments& arguments);
/// What it has recorded: in a text form that fits into what Run Command returns, or as JSON.
ExitCode print_boot_trace(const Invocation& invocation);
ExitCode images_command(const Invocation& invocation);
ExitCode firstboot_command(const Invocation& invocation, const FirstBootArguments& arguments);

}  // namespace prebake::cli
