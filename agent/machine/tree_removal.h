#pragma once

#include <string>

namespace prebake::machine {

/// Removes `name` in the open directory `directory`, with everything in it if it is a directory.
/// Errors name it `path`. The depth of the tree costs neither descriptors nor stack. Does nothing
/// if there is no such file.
/// @throws Error failed_precondition (something is mounted there or below), permission_denied, io;
/// after everything that can be removed is removed.
void remove_tree(int directory, const std::string& name, const std::string& path);

}  // namespace prebake::machine
