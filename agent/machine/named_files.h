#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/machine/root.h"

namespace prebake::machine {

/// The files that patterns of the administrator name. Users own some of the directories that such
/// patterns lead through, so links count only as Root::resolved_for_change() accepts them.
struct NamedFiles {
    std::set<std::string> paths;    ///< resolved; of a link, the link itself
    std::set<std::string> targets;  ///< of trusted links among `paths`
    std::vector<Error> problems;    ///< links that are not followed, each once
};

/// @throws Error usage for a pattern that names no path: neither absolute nor below ~/, or with
/// "..". `setting` is where the patterns come from: "seal.keep".
void validate(std::string_view setting, const Patterns& patterns);

/// @throws Error usage for what is no pattern; permission_denied, io for a directory that cannot be
/// read.
NamedFiles named_files(const Root& root, const Patterns& patterns);

}  // namespace prebake::machine
