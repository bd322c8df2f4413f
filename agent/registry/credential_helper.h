#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

#include "agent/base/clock.h"
#include "agent/registry/credentials.h"
#include "agent/registry/external_program.h"

namespace prebake::registry {

/// Asks Docker's credential helpers (`docker-credential-NAME get`). An answer is kept for five
/// minutes: the parallel downloads of a bake ask once. Thread-safe.
class CredentialHelpers {
  public:
    explicit CredentialHelpers(RunProgram run = run_command, TimeSource clock = current_moment);

    /// `helper` is what comes after "docker-credential-", and `named_by` the file that names it.
    /// Always returns something; without a secret the note says why. @throws Error cancelled.
    Credentials get(const std::string& helper, const std::string& named_by,
                    const Repository& repository, const std::stop_token& stop);

  private:
    struct Answer {
        Credentials credentials;
        std::chrono::steady_clock::time_point expires;
    };

    Credentials ask(const std::string& helper, const std::string& named_by,
                    const std::string& server, const std::stop_token& stop) const;

    RunProgram run_;
    TimeSource clock_;
    std::mutex mutex_;
    std::map<std::pair<std::string, std::string>, Answer> answers_;  ///< by helper and server
};

/// The answer of `get`. @throws Error corrupt, which does not quote it.
Credentials parse_helper_answer(std::string_view json);

}  // namespace prebake::registry
