#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "agent/base/error.h"
#include "agent/cli/commands.h"
#include "agent/cli/quantity.h"

namespace prebake::cli {

/// The options of `prebake record`.
struct RecordOptions {
    RecordArguments arguments;
    std::string time;  ///< --for

    void add_to(CLI::App& command) {
        command.add_option("REF", arguments.reference,
                           "Image (default: the only one that was baked)");
        command.add_option("COMMAND", arguments.command,
                           "After --: what to run instead of the image's command");
        command
            .add_option("--for", time,
                        "End after this time, such as 90s (default: 60s; with --until-ready, which "
                        "then fails, 5m)")
            ->type_name("TIME");
        command
            .add_option("--until-ready", arguments.until_ready,
                        "Run this shell command on this machine until it succeeds; $PREBAKE_PID is "
                        "the container's process")
            ->type_name("CMD");
        command.add_flag("--boot", arguments.is_boot,
                         "Record what this machine reads of its disks, and of baked images, "
                         "while it boots (--for is then 3m by default)");
        command.add_flag("--net-host", arguments.uses_host_network,
                         "Use this machine's network instead of none");
        command
            .add_option("-o,--output", arguments.output_file,
                        "File of the trace; - is standard output (default: one in bake.traces, "
                        "which the next bake uses)")
            ->type_name("FILE");
    }

    /// @throws Error usage.
    RecordArguments checked() const {
        RecordArguments result = arguments;
        if (!time.empty()) {
            result.time_limit = in_context("--for", [&] { return parse_duration(time); });
        }
        return result;
    }
};

}  // namespace prebake::cli
