#pragma once

#include "agent/base/error.h"

namespace prebake::cli {

/// Exit statuses of all commands. --help and prebake(1) have the same table.
enum class ExitCode {
    done = 0,
    failed = 1,
    usage = 2,      ///< command line, configuration or image list
    partial = 3,    ///< some images were baked (items sealed, steps done), others not; degraded
    not_ready = 4,  ///< the node is not ready or unknown; verify or the seal check found something
    try_again = 5,  ///< failed temporarily: not reachable, busy, rate limited
    interrupted = 130,  ///< SIGINT
    terminated = 143,   ///< SIGTERM
};

inline constexpr const char* kExitCodeHelp =
    "Exit status:\n"
    "  0    done\n"
    "  1    failed\n"
    "  2    wrong usage: command line, configuration or image list\n"
    "  3    partial: some images were baked (items sealed, first-boot steps done), others not;\n"
    "       status: ready, but degraded; status --for=hydrated: parts of the disk were not read;\n"
    "       verify: every image is usable, but something is not as it was baked\n"
    "  4    status: not ready (--for=hydrated: not hydrated) or unknown; verify: an image, or the\n"
    "       bake record, is not usable; seal --check: residue is left; kubelet-config --check: a\n"
    "       record clashes; ecs-config --check: a setting clashes\n"
    "  5    failed temporarily (not reachable, busy, rate limited): try again\n"
    "  130  interrupted (SIGINT)    143  terminated (SIGTERM)\n";

class StopSignals;

/// The exit code after a stop signal.
ExitCode interruption_code(const StopSignals& signals);

/// The exit code for an error. (After an interruption the code depends on the signal; see
/// interruption_code().)
ExitCode exit_code_of(Errc code);

}  // namespace prebake::cli
