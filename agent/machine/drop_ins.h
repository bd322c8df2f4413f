#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::machine {

/// The executables of a directory in the order of their names, as run-parts(8) picks them: regular
/// files (or links to them) that may be executed, names of letters, digits, '_', '-' and '.'; no
/// backups (*~, *.bak, *.dpkg-*, *.rpm*). Writable by others than root: left out, and named in
/// `refused`.
struct DropIns {
    std::vector<std::string> names;
    std::vector<std::string> refused;
};
DropIns drop_ins_in(const Root& root, std::string_view directory);

struct DropInRun {
    std::vector<std::pair<std::string, std::string>> environment;
    std::chrono::milliseconds time_limit{300'000};
};

/// Runs one executable of the running machine. @throws Error that names it and says how it ended;
/// what it printed is then in /run/prebake/NAME.log, for root alone.
void run_drop_in(const Root& root, std::string_view directory, const std::string& name,
                 const DropInRun& run, const std::stop_token& stop);

}  // namespace prebake::machine
