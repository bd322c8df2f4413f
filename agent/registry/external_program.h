#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/process.h"

/// Programs that know credentials: Docker's credential helpers, the kubelet's credential providers,
/// clouds' command lines.
namespace prebake::registry {

/// As long as the kubelet gives its providers.
inline constexpr std::chrono::seconds kProgramLimit{60};

/// How long a failure of such a program is kept. It may have taken the whole limit, and credentials
/// are looked up several times for each repository.
inline constexpr std::chrono::minutes kFailureKept{5};

using RunProgram = std::function<CommandResult(const Command&, const std::stop_token&)>;

/// A command without a shell. Its environment has `added` and only those of our variables
/// that such programs need: where programs, homes and certificates are, proxies, and the settings
/// of clouds (AWS_*, AZURE_*, GOOGLE_*, CLOUDSDK_*).
Command external_program(std::vector<std::string> arguments, std::string input,
                         const std::vector<std::pair<std::string, std::string>>& added = {});

/// What a program that failed says about it, in one printable line: the last one of its standard
/// error. Its standard output may be an answer with a secret.
std::string complaint_of(const CommandResult& result);

}  // namespace prebake::registry
