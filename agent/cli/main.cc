#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <optional>
#include <string>

#include "agent/base/json.h"
#include "agent/base/nearest.h"
#include "agent/base/error.h"
#include "agent/cli/commands.h"
#include "agent/cli/format.h"
#include "agent/cli/log.h"
#include "agent/cli/workbench.h"
#include "agent/containerd/connection.h"

namespace prebake::cli {
namespace {

/// The options that every command takes, before or after its name.
struct GlobalOptions {
    std::string config_file;
    std::string state_dir = "/var/lib/prebake";
    std::string address;
    std::vector<std::string> namespaces;
    std::string snapshotter;
    std::string platform;
    std::string log_level = "info";
    bool json = false;
    bool quiet = false;

    void add_to(CLI::App& app) {
        app.add_option("--config", config_file,
                       "Configuration file (default /etc/prebake/prebake.toml and conf.d/*.toml)")
            ->type_name("FILE");
        app.add_option("--state-dir", state_dir, "Where the bake record is kept")
            ->type_name("DIR")
            ->capture_default_str();
        app.add_option("-a,--address", address,
                       "containerd's socket (default /run/containerd/containerd.sock)")
            ->type_name("SOCKET")
            ->envname("CONTAINERD_ADDRESS");
        app.add_option("-n,--namespace", namespaces,
                       "containerd namespace, repeatable (default k8s.io)")
            ->type_name("NS")
            ->envname("CONTAINERD_NAMESPACE")
            ->allow_extra_args(false);
        app.add_option("--snapshotter", snapshotter,
                       "Snapshotter to unpack into (default: the one CRI or the namespace uses)")
            ->type_name("NAME")
            ->envname("CONTAINERD_SNAPSHOTTER");
        app.add_option("--log-level", log_level, "error, warn, info or debug; on stderr")
            ->type_name("LEVEL")
            ->check(CLI::IsMember({"error", "warn", "info", "debug"}).description(""))
            ->capture_default_str();
        app.add_flag("--json", json, "Print the report as one JSON document");
        app.add_flag("-q,--quiet", quiet, "Print errors only");
    }

    /// The configuration files, with flags and environment variables applied.
    Config configuration() const {
        std::optional<std::filesystem::path> file;
        if (!config_file.empty()) file = config_file;
        Config config = read_config(file);
        if (!address.empty()) config.address = address;
        for (const std::string& ns : namespaces) containerd::validate_namespace(ns);
        if (!namespaces.empty()) config.namespaces = namespaces;
        if (!snapshotter.empty()) config.snapshotter = snapshotter;
        return config;
    }

    Invocation invocation(Config config, const StopSignals& signals) const {
        return {.config = std::move(config),
                .state_dir = state_dir,
                .named_namespaces = namespaces,
                .platform = platform,
                .json = json,
                .quiet = quiet,
                .signals = signals};
    }
};

void add_image_arguments(CLI::App& command, ImageArguments& images, std::string& platform) {
    command.add_option("REF", images.references, "Images to work on");
    command.add_option("-f,--file", images.lists, "Image list, repeatable; - is stdin")
        ->type_name("LIST")
        ->allow_extra_args(false);
    command
        .add_option("--platform", platform,
                    "Platform of the machines to come (default: this one's)")
        ->type_name("OS/ARCH[/VARIANT]");
}

const std::map<std::string, ProgressStyle> kProgressStyles{{"auto", ProgressStyle::automatic},
                                                           {"tty", ProgressStyle::terminal},
                                                           {"plain", ProgressStyle::plain},
                                                           {"json", ProgressStyle::json},
                                                           {"none", ProgressStyle::none}};

/// The whole command line: what may stand there, and what stood there.
class CommandLine {
  public:
    CommandLine() {
        app_.set_version_flag("--version", "prebake " PREBAKE_VERSION);
        app_.require_subcommand(0, 1);  // CLI11's own message for none names no command
        app_.footer(kExitCodeHelp);
        global_.add_to(app_);
        add_image_arguments(*plan_app_, images_, global_.platform);
        plan_app_
            ->add_option("--lock", plan_.lock_file, "Write the list with every digest to a file")
            ->type_name("FILE");
        add_image_arguments(*bake_app_, images_, global_.platform);
        bake_app_->add_option("--progress", progress_, "auto, tty, plain, json or none; on stderr")
            ->type_name("STYLE")
            ->check(CLI::IsMember(kProgressStyles).description(""));
        bake_app_->add_flag("--no-space-check", bake_.ignore_space,
                            "Start even if the disk is clearly too small");
        verify_app_->add_flag("--deep", verify_.deep, "Read every blob and compare its digest");
        app_.fallthrough();
        for (CLI::App* command : {plan_app_, bake_app_, verify_app_}) {
            command->fallthrough();
            command->footer(
                "Options for every command (-a, -n, --snapshotter, --json, ...) and the exit "
                "statuses:\n  prebake --help\n");
        }
    }

    /// Nothing if a command is to be run, else the exit status: help was printed, or an error.
    std::optional<int> parse(int argc, char** argv) {
        try {
            app_.parse(argc, argv);
        } catch (const CLI::ExtrasError& error) {
            return usage_error(error_for_extras(error));
        } catch (const CLI::ParseError& error) {
            const bool is_help = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
            return is_help ? app_.exit(error) : usage_error(error.what());
        }
        if (app_.get_subcommands().empty()) {
            return usage_error("no command given: plan, bake or verify");
        }
        return std::nullopt;
    }

    bool json() const { return global_.json; }

    ExitCode run() {
        set_log_level(global_.quiet ? "error" : global_.log_level);
        const Config config = global_.configuration();
        // Before signals are handled: a list typed in on a terminal is to be interrupted as usual.
        if (!verify_app_->parsed()) plan_.images = bake_.images = read_images(config, images_);
        bake_.progress = kProgressStyles.at(progress_);
        const StopSignals signals;
        const Invocation invocation = global_.invocation(config, signals);
        try {
            if (plan_app_->parsed()) return plan_command(invocation, plan_);
            if (bake_app_->parsed()) return bake_command(invocation, bake_);
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
        const std::string meant = nearest(extras.front(), {"plan", "bake", "verify"});
        return "unknown command \"" + extras.front() + "\"" +
               (meant.empty() ? ": plan, bake or verify" : "; did you mean \"" + meant + "\"?");
    }

    CLI::App app_{
        "Bakes container images into machine images: verified, unpacked, named and pinned.",
        "prebake"};
    CLI::App* plan_app_ = app_.add_subcommand(
        "plan", "Show what would be fetched, how big it is, and what is there already");
    CLI::App* bake_app_ = app_.add_subcommand(
        "bake", "Fetch, verify, unpack, name and pin images, and record what was baked");
    CLI::App* verify_app_ =
        app_.add_subcommand("verify", "Check that everything that was baked is there and usable");
    GlobalOptions global_;
    ImageArguments images_;
    PlanArguments plan_;
    BakeArguments bake_;
    VerifyArguments verify_;
    std::string progress_ = "auto";
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
    // Freed buffers of ended threads would otherwise stay in up to eight heaps per processor.
    mallopt(M_ARENA_MAX, 2);
    try {
        return prebake::cli::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "prebake: internal error: %s\n", error.what());
        return static_cast<int>(prebake::cli::ExitCode::failed);
    }
}
