#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/machine/root.h"

namespace prebake::machine {

/// The executables in a directory, sorted by name, chosen as run-parts(8) does: executable regular
/// files (or links to them) whose names consist of letters, digits, '_', '-' and '.'; no backups
/// (*~, *.bak, *.dpkg-*, *.rpm*). Those that users other than root can write, or replace in one
/// of the directories above, are in `refused` instead.
struct RefusedDropIn {
    std::string name;
    Error reason;
};
struct DropIns {
    std::vector<std::string> names;
    std::vector<RefusedDropIn> refused;
};
DropIns drop_ins_in(const Root& root, std::string_view directory);

struct DropInRun {
    std::vector<std::pair<std::string, std::string>> environment;
    std::chrono::milliseconds time_limit{300'000};
};

/// Runs one executable of the running machine. It is opened once, verified as by drop_ins_in(), and
/// the open file is run: nobody can replace it in between. That takes /proc. A script's $0 is then
/// /proc/self/fd/3, so its path is in $PREBAKE_DROP_IN. @throws Error with its name and how it
/// ended; its output is then in /run/prebake/NAME.log, readable only by root.
void run_drop_in(const Root& root, std::string_view directory, const std::string& name,
                 const DropInRun& run, const std::stop_token& stop);

}  // namespace prebake::machine
