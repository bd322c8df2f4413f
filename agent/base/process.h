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
    /// If not -1: this open file is run (as fexecve(3) does), and the first argument only names it.
    /// A script finds itself at /proc/self/fd/3, so /proc must be mounted.
    int executable = -1;
    /// Added to our own environment, in which they replace variables of the same name; without
    /// inherits_environment they are all variables.
    std::vector<std::pair<std::string, std::string>> environment = {};
    bool inherits_environment = true;
    /// Standard input. It is kept in memory only, so it may be a secret.
    std::string input = {};
    bool separates_errors = false;  ///< CommandResult::output is standard output alone
    std::chrono::milliseconds time_limit{60'000};
    std::size_t output_limit = 64UL << 10;  ///< bytes of a stream; the rest is read and dropped
};

struct CommandResult {
    int status = 0;      ///< exit status; 128 + n if signal n killed it, as in a shell
    std::string output;  ///< standard output, and standard error in between
    std::string errors;  ///< standard error, with Command::separates_errors
};

/// Runs a program to its end, in its own process group. After the
/// time limit, or when a stop is requested, the whole group gets SIGTERM, and SIGKILL two seconds
/// later. Does not wait for background processes that the program leaves behind. Where
/// has_no_new_privileges(), the program gets only the effective capabilities of the calling thread.
/// @throws Error not_found (no such program), permission_denied, failed_precondition (no /proc),
/// timed_out, cancelled, io.
CommandResult run_command(const Command& command, const std::stop_token& stop);

/// True if a program of that name is in $PATH, or is there if it is a path.
bool is_program(const std::string& name);

/// run_command() for a program that must succeed; its standard output, as in CommandResult.
/// @throws Error failed_precondition with the last line of its output if it fails.
std::string run_or_throw(const Command& command, const std::stop_token& stop);

}  // namespace prebake
