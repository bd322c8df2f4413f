#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "agent/base/error.h"
#include "agent/cli/commands.h"
#include "agent/cli/quantity.h"

namespace prebake::cli {

/// The options of `prebake hydrate`.
struct HydrateOptions {
    HydrateArguments arguments;
    std::string read_limit;

    void add_to(CLI::App& command) {
        command.add_flag("--all", arguments.reads_all,
                         "Read all of the plan: no deadline, no limit of rate, no stepping aside "
                         "for others");
        command.add_flag("--again", arguments.reads_again, "Also read what was read before");
        // For tests.
        command.add_option("--read-limit", read_limit)->group("");
        command.add_option("--runtime-dir", arguments.runtime_dir)->group("");
    }

    /// @throws Error usage.
    HydrateArguments checked() const {
        HydrateArguments checked = arguments;
        if (!read_limit.empty()) {
            checked.read_limit =
                in_context("--read-limit", [&] { return parse_duration(read_limit); });
        }
        return checked;
    }
};

}  // namespace prebake::cli
