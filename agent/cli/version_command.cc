#include <cstdio>
#include <string>
#include <vector>

#include "agent/base/format.h"
#include "agent/base/json.h"
#include "agent/cli/commands.h"
#include "agent/cli/linked_libraries.h"
#include "proto/prebake/v1/report.pb.h"

namespace prebake::cli {

namespace {

v1::VersionReport document_of(VersionDetail detail) {
    v1::VersionReport report;
    report.set_schema("prebake.v1.VersionReport");
    report.set_version(PREBAKE_VERSION);
    if (detail == VersionDetail::version) return report;
    for (const LinkedLibrary& library : linked_libraries()) {
        v1::LinkedLibrary& out = *report.add_libraries();
        out.set_name(std::string(library.name));
        out.set_version(std::string(library.version));
        out.set_license(std::string(library.license));
        out.set_source(std::string(library.source));
    }
    return report;
}

}  // namespace

void print_version(VersionDetail detail, bool is_json) {
    if (is_json) {
        std::puts(to_json(document_of(detail), JsonForm::indented).c_str());
        return;
    }
    std::puts("prebake " PREBAKE_VERSION);
    if (detail == VersionDetail::version) return;
    if (linked_libraries().empty()) {
        std::puts("what is linked into it is unknown: its build did not ask dpkg");
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
