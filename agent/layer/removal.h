#pragma once

#include <functional>
#include <string>

namespace prebake::layer {

/// Removes `name` in the open directory `directory`, with everything in it if it is a directory.
/// Links are not followed; the depth of the tree costs neither descriptors nor stack. Does nothing
/// if there is no such file. Errors name it `path`.
/// @throws Error failed_precondition (something is mounted there), permission_denied, io.
void remove_tree(int directory, const std::string& name, const std::string& path);

/// Calls `visit` with each name in an open directory except "." and "..", in no particular order,
/// until it returns false. `visit` may remove files. @throws Error io.
void for_each_name(int directory, const std::string& path,
                   const std::function<bool(const std::string& name)>& visit);

}  // namespace prebake::layer
