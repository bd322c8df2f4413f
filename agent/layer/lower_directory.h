#pragma once

#include <sys/stat.h>

#include <span>
#include <string>

#include "agent/base/file.h"

namespace prebake::layer {

/// A directory of a lower layer.
struct LowerDirectory {
    FileDescriptor fd;  ///< without a value: there is none
    struct stat status = {};
};

/// The directory from which a directory `path`, which no entry describes, has its attributes: that
/// of the nearest of `lowers` (open directories, the nearest first) in which the path exists. None
/// if something else has the path there: it is another directory now. @throws Error corrupt, as
/// containerd, if something else than a directory is above the path; io.
LowerDirectory find_lower_directory(const std::string& path, std::span<const int> lowers);

}  // namespace prebake::layer
