#include <cstdio>
#include <string>
#include <vector>

#include "agent/base/format.h"
#include "agent/cli/commands.h"
#include "agent/cli/linked_libraries.h"

namespace prebake::cli {

void print_version(bool is_verbose) {
    std::puts("prebake " PREBAKE_VERSION);
    if (!is_verbose) return;
    if (linked_libraries().empty()) {
        std::puts("what is linked into it is unknown: it was built on a system without dpkg");
        return;
    }
    std::vector<std::vector<std::string>> rows{{"LIBRARY", "VERSION", "LICENSE", "SOURCE PACKAGE"}};
    for (const LinkedLibrary& library : linked_libraries()) {
        rows.push_back({std::string(library.name), std::string(library.version),
                        std::string(library.license), std::string(library.source)});
    }
    std::fputs(format_table(rows).c_str(), stdout);
}

}  // namespace prebake::cli
