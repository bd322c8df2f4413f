#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/machine/root.h"

namespace prebake::identity::secrets {

/// Where secrets are searched. Names of real directories: links are resolved.
struct SearchArea {
    std::set<std::string> places;    ///< that exist; each is searched with all below it ...
    std::set<std::string> left_out;  ///< ... except these
    std::vector<Error> problems;     ///< what could not be found out

    bool is_left_out(const std::string& path) const;
};

/// Left out are the contents of images, what packages ship (the same on every machine) and `keep`.
SearchArea search_area(const machine::Root& root, const machine::Patterns& keep);

/// Whether a file system may be on a disk, and so become part of an image of the machine: not in
/// memory, on the network or of the kernel's own. By st_dev and statfs(2)'s f_type. Pure.
bool is_on_disk(dev_t device, long type);

}  // namespace prebake::identity::secrets
