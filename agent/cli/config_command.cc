#include <cstdio>

#include "agent/base/json.h"
#include "agent/base/text.h"
#include "agent/cli/commands.h"
#include "agent/cli/trust_rules.h"
#include "proto/prebake/v1/report.pb.h"

namespace prebake::cli {

ExitCode config_command(const Config& config, const std::string& file, bool json, bool quiet) {
    policy_of(config.trust_rules).require_keys();
    v1::ConfigReport report;
    report.set_schema("prebake.v1.ConfigReport");
    for (const std::filesystem::path& each :
         config_files(file.empty() ? std::nullopt : std::optional<std::filesystem::path>(file))) {
        report.add_files(each.string());
    }
    if (json) {
        std::puts(to_json(report, JsonForm::indented).c_str());
    } else if (!quiet) {
        const std::string names = joined(report.files());
        std::printf("ok: %s\n", names.empty() ? "there is no configuration file" : names.c_str());
    }
    return ExitCode::done;
}

}  // namespace prebake::cli
