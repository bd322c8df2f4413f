#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "agent/base/error.h"
#include "agent/cli/commands.h"
#include "agent/kubelet/advice.h"

/// The options of kubelet-config and ecs-config, and their values.
namespace prebake::cli {

struct KubeletOptions {
    KubeletConfigArguments arguments;
    std::string kubernetes;

    void add_to(CLI::App& command) {
        command.add_flag("--check", arguments.is_check,
                         "Only find records that make the kubelet pull again");
        command
            .add_option("--kubernetes", kubernetes,
                        "Version of the kubelet (default: from the kubelet in $PATH)")
            ->type_name("VERSION");
        command.add_option("--kubelet-root", arguments.kubelet_root, "The kubelet's directory")
            ->type_name("DIR")
            ->capture_default_str();
    }

    /// With the version. @throws Error usage.
    KubeletConfigArguments checked() const {
        KubeletConfigArguments whole = arguments;
        if (kubernetes.empty()) return whole;
        whole.version = kubelet::parse_kubernetes_version(kubernetes);
        if (whole.version) return whole;
        throw Error(Errc::usage, "\"" + kubernetes + "\" is not a version of Kubernetes",
                    "use a version like 1.35 or v1.36.2");
    }
};

struct EcsOptions {
    EcsConfigArguments arguments;

    void add_to(CLI::App& command) {
        const auto add_action = [&](const char* flag, EcsConfigAction action, const char* help) {
            return command.add_flag_callback(
                flag, [this, action] { arguments.action = action; }, help);
        };
        CLI::Option* check =
            add_action("--check", EcsConfigAction::check,
                       "Only find settings that make the agent pull or remove baked images");
        add_action("--write", EcsConfigAction::write, "Merge the settings into /etc/ecs/ecs.config")
            ->excludes(check);
        command
            .add_option("--root", arguments.root,
                        "Work on the machine image that is mounted at DIR")
            ->type_name("DIR")
            ->capture_default_str();
    }

    bool writes_this_machine() const {
        return arguments.action == EcsConfigAction::write && arguments.root == "/";
    }
};

}  // namespace prebake::cli
