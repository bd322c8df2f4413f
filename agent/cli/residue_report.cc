#include "agent/cli/residue_report.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>
#include <vector>

#include "agent/base/format.h"

namespace prebake::cli {
namespace {

std::vector<std::string> row_of(const v1::Residue& residue) {
    std::string place = residue.path().empty() ? "-" : residue.path();
    if (residue.line() > 0) place += ":" + std::to_string(residue.line());
    return {residue.item(), place, residue.kind()};
}

/// "a, b and 7 more"
std::string enumerated(const std::vector<std::string>& places) {
    constexpr std::size_t kNamed = 12;
    std::string text = places.front();
    const std::size_t named = std::min(places.size(), kNamed);
    for (std::size_t i = 1; i < named; ++i) text += ", " + places[i];
    if (named < places.size())
        text += " and " + std::to_string(places.size() - named) + " more (see --json)";
    return text;
}

}  // namespace

void print_residue(const v1::ResidueReport& report, bool quiet) {
    std::vector<std::vector<std::string>> rows{{"ITEM", "WHERE", "WHAT"}};
    for (const v1::Residue& residue : report.residue()) rows.push_back(row_of(residue));
    if (!report.residue().empty()) std::fputs(format_table(rows).c_str(), stdout);
    if (quiet) return;
    // A package cache that is kept on purpose has hundreds of files: one line for all of a kind.
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> noted;
    for (const v1::Residue& residue : report.noted()) {
        noted[{residue.item(), residue.kind()}].push_back(row_of(residue)[1]);
    }
    for (const auto& [item_and_kind, places] : noted) {
        std::printf("not counted: %s: %s: %s\n", item_and_kind.first.c_str(),
                    enumerated(places).c_str(), item_and_kind.second.c_str());
    }
    std::printf("%s: %d found; %llu files, %s searched for secrets in %s\n",
                report.residue().empty() ? "sealed" : "NOT SEALED", report.residue_size(),
                static_cast<unsigned long long>(report.files_scanned()),
                format_bytes(report.bytes_scanned()).c_str(),
                format_duration(std::chrono::duration<double>(report.seconds())).c_str());
}

}  // namespace prebake::cli
