#pragma once

#include <chrono>
#include <cstddef>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace prebake {

/// A program to run. No shell is involved.
struct Command {
    std::vector<std::string>
        arguments;  ///< the first one is the program: a path, or found in $PATH
    /// Added to our own environment, where they replace what is there.
    std::vector<std::pair<std::string, std::string>> environment = {};
    std::chrono::milliseconds time_limit{60'000};
    std::size_t output_limit = 64UL << 10;  ///< bytes; what comes after is read and dropped
};

struct CommandResult {
    int status = 0;      ///< exit status; 128 + n if signal n ended it, as a shell shows it
    std::string output;  ///< standard output and standard error, in the order of their coming
};

/// Runs a program to its end, standard input being /dev/null, in a process group of its own. When
/// its time is up, or a stop is requested, the whole group gets SIGTERM, and SIGKILL two seconds
/// later. A process that it left behind in the background does not make us wait.
/// @throws Error not_found (no such program), permission_denied, timed_out, cancelled, io.
CommandResult run_command(const Command& command, const std::stop_token& stop);

/// True if a program of that name is in $PATH, or is there if it is a path.
bool is_program(const std::string& name);

/// run_command() for a program that is to succeed.
/// @throws Error failed_precondition with the last line of its output if it did not.
std::string run_or_throw(const Command& command, const std::stop_token& stop);

}  // namespace prebake
