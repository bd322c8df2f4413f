#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/registry/cloud_registry.h"
#include "agent/registry/credential_helper.h"
#include "agent/registry/credentials.h"
#include "agent/registry/external_program.h"

namespace prebake::registry {

/// What to do about missing credentials of a cloud.
struct CloudAdvice {
    std::string install;  ///< a program that gets them, on this distribution
    std::string allow;    ///< what the machine's role needs
};
/// `os_release` is the text of os-release(5): not every distribution has the package. Pure.
CloudAdvice advice_for(Cloud cloud, std::string_view os_release);

/// Credentials of the machine's role for the registries of clouds, without any configuration: from
/// the cloud's credential helper, else from its command line. Asks nothing for other registries.
/// Without a secret the note names what to install and what the role must be allowed to do.
/// Passwords and failures of the command line are kept. Thread-safe.
class CloudCredentials : public CredentialSource {
  public:
    /// `os_release` as for advice_for().
    explicit CloudCredentials(std::shared_ptr<CredentialHelpers> helpers,
                              std::string_view os_release = {}, RunProgram run = run_command,
                              TimeSource clock = current_moment);

    std::optional<Credentials> find(const Repository& repository,
                                    const std::stop_token& stop) override;

  private:
    struct Answer {
        Credentials credentials;  ///< the note says why there are none
        std::chrono::steady_clock::time_point expires;
    };

    Credentials from_helpers(const CloudRegistry& registry, const Repository& repository,
                             const std::stop_token& stop, std::string& notes);
    Credentials from_aws(const CloudRegistry& registry, const std::stop_token& stop);

    std::shared_ptr<CredentialHelpers> helpers_;
    std::string os_release_;
    RunProgram run_;
    TimeSource clock_;
    std::mutex mutex_;
    std::map<std::string, Answer> answers_;  ///< of the AWS CLI, by command
};

}  // namespace prebake::registry
