#pragma once

#include <string>

namespace prebake::machine {

/// Removes `name` in the open directory `directory`, and everything in it if it is a directory
/// itself; `path` stands for it in errors. Depth costs neither descriptors nor stack. No such file:
/// nothing to do.
/// @throws Error failed_precondition (something is mounted there or below), permission_denied, io;
/// after all that could be removed is.
void remove_tree(int directory, const std::string& name, const std::string& path);

}  // namespace prebake::machine
