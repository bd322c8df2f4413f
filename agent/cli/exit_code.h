#pragma once

#include "agent/base/error.h"

namespace prebake::cli {

/// What a shell, a pipeline and SSM see. The same table stands in --help and in the README.
enum class ExitCode {
    done = 0,
    failed = 1,
    usage = 2,      ///< command line, configuration or image list
    partial = 3,    ///< some images were baked (items sealed, steps done), others not; degraded
    not_ready = 4,  ///< the node is not, or nobody knows; verify found something wrong, or the seal
                    ///< check residue
    try_again =
        5,  ///< failed for a reason that may pass by itself: not reachable, busy, rate limited
    interrupted = 130,  ///< SIGINT
    terminated = 143,   ///< SIGTERM
};

inline constexpr const char* kExitCodeHelp =
    "Exit status:\n"
    "  0    done\n"
    "  1    failed\n"
    "  2    wrong usage: command line, configuration or image list\n"
    "  3    partial: some images were baked (items sealed, first-boot steps done), others not;\n"
    "       status: ready, but degraded\n"
    "  4    not ready, or unknown: so says status, or verify found something missing or wrong, or\n"
    "       the seal check found residue\n"
    "  5    failed for a reason that may pass by itself (not reachable, busy, rate limited): try "
    "again\n"
    "  130  interrupted (SIGINT)    143  terminated (SIGTERM)\n";

class StopSignals;

/// The exit code after a stop signal.
ExitCode interruption_code(const StopSignals& signals);

/// The exit code of a command that ended with an error of this code. (An interruption's own code
/// depends on the signal, which the caller knows.)
ExitCode exit_code_of(Errc code);

}  // namespace prebake::cli
