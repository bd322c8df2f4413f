#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <system_error>

#include "agent/bake/layer_tree.h"
#include "agent/base/error.h"
#include "agent/base/json.h"
#include "agent/base/nearest.h"
#include "agent/base/problem.h"
#include "agent/cli/bake_context.h"
#include "agent/cli/commands.h"
#include "agent/cli/docker_host.h"
#include "agent/cli/hydrate_options.h"
#include "agent/cli/log.h"
#include "agent/cli/orchestrator_options.h"
#include "agent/cli/quantity.h"
#include "agent/cli/record_options.h"
#include "agent/cli/registry_options.h"
#include "agent/cli/status_options.h"
#include "agent/containerd/connection.h"
#include "proto/prebake/v1/report.pb.h"

namespace prebake::cli {
namespace {

/// The options that every command takes, before or after its name.
struct GlobalOptions {
    std::string config_file;
    std::string state_dir = "/var/lib/prebake";
    std::string address;
    std::vector<std::string> namespaces;
    std::string snapshotter;
    std::string docker_host;
    std::string runtime;
    std::string platform;
    std::vector<std::string> verify_keys;
    std::string log_level = "info";
    bool json = false;
    bool quiet = false;

    void add_to(CLI::App& app) {
        app.add_option("--config", config_file,
                       "Configuration file (default /etc/prebake/prebake.toml and conf.d/*.toml)")
            ->type_name("FILE");
        app.add_option("--state-dir", state_dir,
                       "Directory of the bake record, the claim and the ledger")
            ->type_name("DIR")
            ->capture_default_str();
        app.add_option("-a,--address", address,
                       "containerd's socket (default /run/containerd/containerd.sock)")
            ->type_name("SOCKET")
            ->envname("CONTAINERD_ADDRESS");
        app.add_option("-n,--namespace", namespaces,
                       "containerd namespace; can be repeated (default k8s.io)")
            ->type_name("NS")
            ->envname("CONTAINERD_NAMESPACE")
            ->allow_extra_args(false);
        app.add_option(
               "--snapshotter", snapshotter,
               "Snapshotter to unpack into (default: the one that CRI or the namespace uses)")
            ->type_name("NAME")
            ->envname("CONTAINERD_SNAPSHOTTER");
        app.add_option("--docker-host", docker_host,
                       "dockerd's socket (default: docker.host, or /var/run/docker.sock)")
            ->type_name("SOCKET")
            ->envname("DOCKER_HOST");
        app.add_option("--log-level", log_level,
                       "Level of messages on stderr: error, warn, info or debug")
            ->type_name("LEVEL")
            ->check(CLI::IsMember({"error", "warn", "info", "debug"}).description(""))
            ->capture_default_str();
        app.add_flag("--json", json, "Print the report as one JSON document");
        app.add_flag("-q,--quiet", quiet, "Print only errors");
    }

    /// The configuration files, with flags and environment variables applied.
    Config configuration() const {
        std::optional<std::filesystem::path> file;
        if (!config_file.empty()) file = config_file;
        Config config = read_config(file);
        if (!address.empty()) config.address = address;
        // Where no other containerd runs, dockerd starts its own. Users may not look at either.
        std::error_code hidden;
        if (config.address == Config().address &&
            !std::filesystem::exists(config.address, hidden) && !hidden &&
            std::filesystem::exists(kContainerdOfDocker, hidden)) {
            config.address = kContainerdOfDocker;
        }
        for (const std::string& ns : namespaces) containerd::validate_namespace(ns);
        if (!namespaces.empty()) config.namespaces = namespaces;
        if (!snapshotter.empty()) config.snapshotter = snapshotter;
        if (!docker_host.empty()) config.docker_host = docker_host;
        if (config.docker_host.empty()) config.docker_host = "/var/run/docker.sock";
        if (!runtime.empty()) config.runtime = runtime_words().at(runtime);
        if (!verify_keys.empty()) {
            std::vector<std::string> files;
            for (const std::string& key : verify_keys) files.push_back(absolute(key));
            // The first one: any other rule about the same images wins.
            config.trust_rules.insert(config.trust_rules.begin(),
                                      trust::rule_of_verify_key(std::move(files)));
        }
        return config;
    }

    /// Absolute, because a unit may use the path later, or it is used inside another root.
    static std::string absolute(const std::string& path) {
        return std::filesystem::absolute(path).lexically_normal().string();
    }

    Invocation invocation(Config config, const StopSignals& signals) const {
        return {.config = std::move(config),
                .config_file = config_file.empty() ? "" : absolute(config_file),
                .state_dir = absolute(state_dir),
                .named_namespaces = namespaces,
                .platform = platform,
                .auth_file = {},
                .credentials = {},
                .json = json,
                .quiet = quiet,
                .signals = signals};
    }
};

void add_image_arguments(CLI::App& command, ImageArguments& images, GlobalOptions& global) {
    command.add_option("REF", images.references, "Images");
    command.add_option("-f,--file", images.lists, "Image list; can be repeated; - is stdin")
        ->type_name("LIST")
        ->allow_extra_args(false);
    command
        .add_option("--platform", global.platform,
                    "Platform of the nodes (default: the platform of this machine)")
        ->type_name("OS/ARCH[/VARIANT]");
    command
        .add_option("--runtime", global.runtime,
                    "Whose images they become: auto, containerd or docker (default: auto, in which "
                    "namespace moby is Docker's)")
        ->type_name("RUNTIME")
        ->check(CLI::IsMember(runtime_words()).description(""));
}

void add_verify_key(CLI::App& command, std::vector<std::string>& keys) {
    command
        .add_option("--verify-key", keys,
                    "Public key that has to have signed images without a rule in [[trust]]; can be "
                    "repeated")
        ->type_name("FILE")
        ->allow_extra_args(false);
}

const std::map<std::string, ProgressStyle> kProgressStyles{{"auto", ProgressStyle::automatic},
                                                           {"tty", ProgressStyle::terminal},
                                                           {"plain", ProgressStyle::plain},
                                                           {"json", ProgressStyle::json},
                                                           {"none", ProgressStyle::none}};

/// The command line: its definition, and the parsed values.
class CommandLine {
  public:
    CommandLine() {
        app_.set_version_flag("--version", "prebake " PREBAKE_VERSION);
        app_.require_subcommand(
            0, 1);  // CLI11's message for a missing command does not name the commands
        app_.footer(kExitCodeHelp);
        global_.add_to(app_);
        add_image_arguments(*plan_app_, images_, global_);
        plan_app_
            ->add_option("--lock", plan_.lock_file,
                         "Write the list with every digest to a file; - is standard output")
            ->type_name("FILE");
        add_image_arguments(*bake_app_, images_, global_);
        bake_app_
            ->add_option("--progress", progress_,
                         "Progress on stderr: auto, tty, plain, json or none")
            ->type_name("STYLE")
            ->check(CLI::IsMember(kProgressStyles).description(""));
        for (CLI::App* command : {plan_app_, bake_app_, verify_app_}) registry_.add_to(*command);
        bake_app_->add_flag("--no-space-check", bake_.ignore_space,
                            "Start even if the disk is clearly too small");
        bake_app_->add_flag("--require-cri", bake_.require_cri,
                            "Fail unless CRI on this machine finds every image in k8s.io");
        bake_app_
            ->add_option("--lock-timeout", lock_timeout_,
                         "Wait this long for another bake or a repair, such as 30s or 0 (default: "
                         "bake.lock_timeout, 10 minutes)")
            ->type_name("TIME");
        verify_app_->add_flag("--deep", verify_.deep,
                              "Read every blob, and compare snapshots with their layers");
        verify_app_->add_flag("--repair", verify_.repair,
                              "Repair what is found, from this disk or the registry");
        verify_app_->add_flag("--sealed", verify_.sealed,
                              "Also check that nothing of the builder is left");
        for (CLI::App* command : {plan_app_, bake_app_, verify_app_}) {
            add_verify_key(*command, global_.verify_keys);
        }
        add_seal_options(*seal_app_);
        firstboot_app_->add_flag(
            "--online", is_online_,
            "The second half: query the metadata service and complete the claim");
        hydrate_.add_to(*hydrate_app_);
        status_.add_to(*status_app_);
        record_.add_to(*record_app_);
        kubelet_.add_to(*kubelet_config_app_);
        ecs_.add_to(*ecs_config_app_);
        config_app_->require_subcommand(1);
        check_app_->fallthrough();
        version_app_->add_flag("--verbose", is_verbose_,
                               "Also the libraries in this program: versions and licenses");
        help_app_->add_option("COMMAND", helped_, "Command");
        app_.fallthrough();
        for (CLI::App* command : commands_) {
            command->fallthrough();
            command->footer(
                "Options for every command (-a, -n, --snapshotter, --json, ...) and the exit "
                "statuses:\n  prebake --help\n");
        }
    }

    /// What follows "--" is the command of a container, not an argument of ours.
    void parse_all(int argc, char** argv) {
        char** const end = argv + argc;
        char** const dashes = std::find(argv, end, std::string_view("--"));
        app_.parse(static_cast<int>(dashes - argv), argv);
        if (dashes == end) return;
        if (record_app_->parsed()) {
            record_.arguments.command.assign(dashes + 1, end);
        } else {
            app_.parse(argc, argv);
        }
    }

    /// Nothing if a command should run, otherwise the exit status after help or a usage error.
    std::optional<int> parse(int argc, char** argv) {
        try {
            parse_all(argc, argv);
        } catch (const CLI::ExtrasError& error) {
            return usage_error(error_for_extras(error));
        } catch (const CLI::ParseError& error) {
            const bool is_help = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
            return is_help ? app_.exit(error) : usage_error(error.what());
        }
        if (app_.get_subcommands().empty()) {
            return usage_error("no command given: " + known_commands());
        }
        if (help_app_->parsed()) return help();
        if (version_app_->parsed()) {
            print_version(is_verbose_ ? VersionDetail::with_libraries : VersionDetail::version,
                          global_.json);
            return 0;
        }
        return std::nullopt;
    }

    bool json() const { return global_.json; }

    ExitCode run() {
        set_log_level(global_.quiet ? "error" : global_.log_level);
        require_root();
        Config config = global_.configuration();
        registry_.apply_to(config);
        if (config_app_->parsed()) {
            return config_command(config, global_.config_file, global_.json, global_.quiet);
        }
        // Before signals are handled, so that Ctrl-C interrupts reading a list from a terminal.
        if (plan_app_->parsed() || bake_app_->parsed()) {
            plan_.images = bake_.images = read_images(config, images_);
        }
        complete_seal_arguments(config);
        firstboot_.stage =
            is_online_ ? identity::firstboot::Stage::online : identity::firstboot::Stage::local;
        bake_.progress = kProgressStyles.at(progress_);
        bake_.lock_timeout = config.lock_timeout;
        if (!lock_timeout_.empty()) {
            bake_.lock_timeout =
                in_context("--lock-timeout", [&] { return parse_duration(lock_timeout_); });
        }
        const std::optional<std::string> credentials = registry_.read_credentials(images_.lists);
        if (bake_app_->parsed() || daemon_app_->parsed()) keep_back_capabilities();
        StopSignals signals(daemon_app_->parsed() ? Hangup::reloads : Hangup::ends);
        Invocation invocation = global_.invocation(config, signals);
        invocation.credentials = credentials;
        if (!credentials) invocation.auth_file = registry_.auth_file;
        try {
            if (plan_app_->parsed()) return plan_command(invocation, plan_);
            if (bake_app_->parsed()) return bake_command(invocation, bake_);
            if (seal_app_->parsed()) return seal_command(invocation, seal_);
            if (firstboot_app_->parsed()) return firstboot_command(invocation, firstboot_);
            if (daemon_app_->parsed()) return daemon_command(invocation, signals);
            if (hydrate_app_->parsed()) return hydrate_command(invocation, hydrate_.checked());
            if (status_app_->parsed())
                return status_command(invocation, status_.arguments(config, global_.json));
            if (images_app_->parsed()) return images_command(invocation);
            if (record_app_->parsed()) return record_command(invocation, record_.checked());
            if (kubelet_config_app_->parsed()) {
                return kubelet_config_command(invocation, kubelet_.checked());
            }
            if (ecs_config_app_->parsed()) return ecs_config_command(invocation, ecs_.arguments);
            return verify_command(invocation, verify_);
        } catch (const Error& error) {
            if (error.code() != Errc::cancelled || signals.received() == 0) throw;
            log_error(error);
            return interruption_code(signals);
        }
    }

  private:
    static int usage_error(const std::string& message) {
        log_error(Error(Errc::usage, message, "see prebake --help"));
        return static_cast<int>(ExitCode::usage);
    }

    std::string error_for_extras(const CLI::ExtrasError& error) const {
        const std::vector<std::string> extras = app_.remaining(true);
        if (!app_.get_subcommands().empty() || extras.empty()) return error.what();
        return unknown_command(extras.front());
    }

    std::string unknown_command(const std::string& word) const {
        std::vector<std::string> names;
        for (const CLI::App* command : commands_) names.push_back(command->get_name());
        const std::string meant = nearest(word, names);
        return "unknown command \"" + word + "\"" +
               (meant.empty() ? ": " + known_commands() : "; did you mean \"" + meant + "\"?");
    }

    /// The text of --help, or of COMMAND --help.
    int help() const {
        if (helped_.empty()) {
            // App::help() would delegate to the command that was parsed, which is "help".
            const auto formatter = app_.get_formatter();
            std::fputs(
                formatter->make_help(&app_, app_.get_name(), CLI::AppFormatMode::Normal).c_str(),
                stdout);
            return 0;
        }
        const auto found =
            std::find_if(commands_.begin(), commands_.end(),
                         [&](const CLI::App* command) { return command->get_name() == helped_; });
        if (found == commands_.end()) return usage_error(unknown_command(helped_));
        std::fputs((*found)->help(app_.get_name()).c_str(), stdout);
        return 0;
    }

    /// Before there are other threads: they have the capabilities that this one has then.
    static void keep_back_capabilities() {
        try {
            bake::keep_back_tree_capabilities();
        } catch (const Error& error) {
            log_warning("all threads have all capabilities: " + error.message());
        }
    }

    /// These change this machine's files, each of which would fail on its own.
    void require_root() const {
        const bool is_this_machine = seal_.root == "/" && seal_.action != SealAction::list;
        const bool writes_for_ecs = ecs_config_app_->parsed() && ecs_.writes_this_machine();
        const bool needs_root =
            firstboot_app_->parsed() || writes_for_ecs || (seal_app_->parsed() && is_this_machine);
        if (!needs_root || ::geteuid() == 0) return;
        const std::string command = "prebake " + app_.get_subcommands().front()->get_name();
        throw Error(Errc::permission_denied, command + " needs root", "run it as root");
    }

    /// "plan, bake or verify"
    std::string known_commands() const {
        std::string all;
        for (const CLI::App* command : commands_) {
            const bool is_last = command == commands_.back();
            all += (all.empty() ? "" : is_last ? " or " : ", ") + command->get_name();
        }
        return all;
    }

    void add_seal_options(CLI::App& command) {
        const auto add_action = [&](const char* flag, SealAction action, const char* help) {
            return command.add_flag_callback(
                flag,
                [this, flag, action] {
                    if (seal_.action != SealAction::seal) {
                        throw CLI::ValidationError(flag, "cannot be combined with another action");
                    }
                    seal_.action = action;
                },
                help);
        };
        add_action("--check", SealAction::check, "Only report what of the builder is left");
        add_action("--list", SealAction::list, "Only show the identity items");
        add_action("--at-shutdown", SealAction::at_shutdown,
                   "Seal as the last step before this machine powers off");
        add_action("--disarm", SealAction::disarm, "Undo --at-shutdown");
        add_action("--armed", SealAction::armed, "")->group("");  // run by the unit
        command
            .add_option("--root", seal_.root, "Work on the machine image that is mounted at DIR")
            ->type_name("DIR")
            ->capture_default_str();
        command.add_flag("--dry-run", seal_.is_dry_run,
                         "List every path that would change, and change nothing");
        command.add_flag("-y,--yes", seal_.is_sure, "Do not ask for confirmation");
        const auto add_names = [&](const char* flag, std::vector<std::string>& names,
                                   const char* help) {
            command.add_option(flag, names, help)
                ->type_name("ITEM,...")
                ->delimiter(',')
                ->allow_extra_args(false);
        };
        add_names("--only", seal_.scope.only, "Only these items");
        add_names("--skip", seal_.scope.skip, "All except these items");
        add_names("--also", seal_.scope.also, "Also these items, which are off by default");
    }

    /// Flags add to the configuration.
    void complete_seal_arguments(const Config& config) {
        identity::SealScope scope = config.seal;
        const auto append = [](std::vector<std::string>& to, const std::vector<std::string>& from) {
            to.insert(to.end(), from.begin(), from.end());
        };
        append(scope.only, seal_.scope.only);
        append(scope.skip, seal_.scope.skip);
        append(scope.also, seal_.scope.also);
        seal_.scope = std::move(scope);
    }

    CLI::App app_{
        "Bakes container images into machine images: verified, unpacked, named and pinned.",
        "prebake"};
    CLI::App* plan_app_ = app_.add_subcommand(
        "plan", "Show what would be fetched, its size, and what is already present");
    CLI::App* bake_app_ = app_.add_subcommand(
        "bake", "Fetch, verify, unpack, name and pin images, and record what was baked");
    CLI::App* verify_app_ =
        app_.add_subcommand("verify", "Check that everything that was baked is present and usable");
    CLI::App* seal_app_ = app_.add_subcommand(
        "seal", "Remove the builder's identity and secrets before the snapshot");
    CLI::App* firstboot_app_ = app_.add_subcommand(
        "firstboot", "Claim a new identity if this is a new instance (systemd runs it)");
    CLI::App* status_app_ =
        app_.add_subcommand("status", "Show whether this node is ready, and what the bake saved");
    CLI::App* daemon_app_ = app_.add_subcommand(
        "daemon", "Keep baked images usable, count hits and misses (systemd runs it)");
    CLI::App* hydrate_app_ = app_.add_subcommand(
        "hydrate", "Read what images need from a disk that loads lazily (systemd runs it)");
    CLI::App* kubelet_config_app_ = app_.add_subcommand(
        "kubelet-config", "Print what belongs in the kubelet's configuration for the baked images");
    CLI::App* ecs_config_app_ = app_.add_subcommand(
        "ecs-config", "Print what belongs in the ECS agent's configuration for the baked images");
    CLI::App* images_app_ = app_.add_subcommand(
        "images", "List what was baked: digest, platform, size, whether it is pinned and used");
    CLI::App* record_app_ = app_.add_subcommand(
        "record", "Run an image and record which files it reads, for disks that load lazily");
    CLI::App* config_app_ = app_.add_subcommand("config", "Check the configuration files");
    CLI::App* check_app_ = config_app_->add_subcommand(
        "check", "Read the configuration files and name the first error");
    CLI::App* help_app_ = app_.add_subcommand("help", "Show the help of a command");
    CLI::App* version_app_ = app_.add_subcommand("version", "Print the version");
    std::vector<CLI::App*> commands_{
        plan_app_,       bake_app_,   verify_app_, images_app_,  seal_app_,
        firstboot_app_,  status_app_, daemon_app_, hydrate_app_, kubelet_config_app_,
        ecs_config_app_, record_app_, config_app_, help_app_,    version_app_};
    std::string helped_;
    GlobalOptions global_;
    RegistryOptions registry_;
    ImageArguments images_;
    PlanArguments plan_;
    BakeArguments bake_;
    std::string lock_timeout_;
    VerifyArguments verify_;
    SealArguments seal_;
    FirstBootArguments firstboot_;
    HydrateOptions hydrate_;
    bool is_online_ = false;
    std::string progress_ = "auto";
    KubeletOptions kubelet_;
    EcsOptions ecs_;
    StatusOptions status_;
    RecordOptions record_;
    bool is_verbose_ = false;
};

void print_failure(const Error& error) {
    v1::Failure failure;
    failure.set_schema("prebake.v1.Failure");
    *failure.mutable_problem() = problem_of(error);
    std::puts(to_json(failure, JsonForm::indented).c_str());
}

int run(int argc, char** argv) {
    CommandLine command_line;
    if (const auto status = command_line.parse(argc, argv)) return *status;
    ExitCode code = ExitCode::failed;
    try {
        code = command_line.run();
    } catch (const Error& error) {
        log_error(error);
        if (command_line.json()) print_failure(error);
        code = exit_code_of(error.code());
    }
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        log_error(Error(Errc::io, "the report could not be written to standard output"));
        if (code == ExitCode::done) code = ExitCode::failed;
    }
    return static_cast<int>(code);
}

}  // namespace
}  // namespace prebake::cli

int main(int argc, char** argv) {
    // Otherwise freed buffers of finished threads stay in up to eight heaps per processor.
    mallopt(M_ARENA_MAX, 2);
    try {
        return prebake::cli::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "prebake: internal error: %s\n", error.what());
        return static_cast<int>(prebake::cli::ExitCode::failed);
    }
}
