#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/machine/root.h"

namespace prebake::identity::secrets {

/// The directories to search for secrets. Links are resolved.
struct SearchArea {
    std::set<std::string> places;    ///< existing directories, searched with everything below ...
    std::set<std::string> left_out;  ///< ... except these
    std::vector<Error> problems;     ///< what could not be determined

    bool is_left_out(const std::string& path) const;
};

/// Left out are container images, files of packages (the same on every machine) and `keep`.
SearchArea search_area(const machine::Root& root, const machine::Patterns& keep);

/// Whether a file system may be on a disk, and so become part of a machine image: not in memory,
/// not on the network, not the kernel's own. By st_dev and statfs(2)'s f_type. Pure.
bool is_on_disk(dev_t device, long type);

}  // namespace prebake::identity::secrets
