#include "agent/registry/external_program.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/base/format.h"
#include "agent/base/text.h"

extern char** environ;

namespace prebake::registry {
namespace {

constexpr std::size_t kMaxOutput = 1UL << 20;
constexpr std::size_t kMaxComplaint = 300;
constexpr std::string_view kUsualPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr std::array kPassed{
    "PATH",       "HOME",        "USER",          "LANG",         "TZ",           "TMPDIR",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",      "ALL_PROXY",    "http_proxy",   "https_proxy",
    "no_proxy",   "all_proxy",   "SSL_CERT_FILE", "SSL_CERT_DIR", "DOCKER_CONFIG"};
constexpr std::array kPassedPrefixes{"AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "XDG_", "LC_"};

bool is_passed(std::string_view name) {
    const auto begins = [&](const char* prefix) { return name.starts_with(prefix); };
    return std::find(kPassed.begin(), kPassed.end(), name) != kPassed.end() ||
           std::any_of(kPassedPrefixes.begin(), kPassedPrefixes.end(), begins);
}

}  // namespace

Command external_program(std::vector<std::string> arguments, std::string input,
                         const std::vector<std::pair<std::string, std::string>>& added) {
    Command command{.arguments = std::move(arguments),
                    .environment = {{"PATH", std::string(kUsualPath)}},
                    .inherits_environment = false,
                    .input = std::move(input),
                    .separates_errors = true,
                    .time_limit = kProgramLimit,
                    .output_limit = kMaxOutput};
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view variable = *entry;
        const std::size_t equals = std::min(variable.find('='), variable.size());
        const std::string_view name = variable.substr(0, equals);
        if (equals == variable.size() || !is_passed(name)) continue;
        command.environment.emplace_back(name, variable.substr(equals + 1));
    }
    command.environment.insert(command.environment.end(), added.begin(), added.end());
    return command;
}

std::string complaint_of(const CommandResult& result) {
    const std::vector<std::string_view> lines = lines_of(result.errors);
    const auto last = std::find_if(lines.rbegin(), lines.rend(),
                                   [](std::string_view line) { return !trimmed(line).empty(); });
    if (last != lines.rend()) return shorten(printable(trimmed(*last)), kMaxComplaint);
    return "it ended with status " + std::to_string(result.status) + " and gave no reason";
}

}  // namespace prebake::registry
