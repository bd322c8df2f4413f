#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/registry/credentials.h"
#include "agent/registry/external_program.h"

/// The kubelet's image credential providers: programs that a CredentialProviderConfig names for
/// images, such as ecr-credential-provider on EKS.
namespace prebake::registry {

struct CredentialProvider {
    std::string name;  ///< of the program, in the kubelet's directory for them
    std::vector<std::string> match_images;
    std::string api_version;
    std::chrono::nanoseconds default_cache_duration{};
    std::vector<std::string> arguments;
    std::vector<std::pair<std::string, std::string>> environment;
    /// It works only with the token of a pod, which we have not.
    bool requires_service_account = false;
};

/// The providers of a CredentialProviderConfig, which is YAML or JSON. `name` stands for it in
/// errors.
/// @throws Error usage.
std::vector<CredentialProvider> parse_provider_config(std::string_view json,
                                                      const std::string& name);

/// Whether a pattern of matchImages, or a key of a provider's answer, is for the image: equal
/// numbers of labels that match as in AuthKey, the same port, and a path that the image's begins
/// with.
bool matches_image(std::string_view pattern, const Repository& repository);

/// Runs the providers for the images that they are for, in the order of the configuration, until
/// one has credentials. Keeps an answer as long as it says, and a failure for the image for
/// kFailureKept. Thread-safe.
class KubeletProviders : public CredentialSource {
  public:
    /// `config` is a file, or a directory with such files.
    /// @throws Error usage, not_found, untrusted (base/file_trust.h).
    KubeletProviders(const std::filesystem::path& config, std::filesystem::path programs,
                     RunProgram run = run_command, TimeSource clock = current_moment);

    std::optional<Credentials> find(const Repository& repository,
                                    const std::stop_token& stop) override;

  private:
    using Auth = std::vector<std::pair<std::string, Credentials>>;  ///< by pattern
    struct Answer {
        Auth auth;
        std::string failure;  ///< instead of an answer
        std::chrono::steady_clock::time_point expires;
    };

    const Answer& ask(const CredentialProvider& provider, const Repository& repository,
                      const std::stop_token& stop);
    Answer* kept(const CredentialProvider& provider, const Repository& repository);
    /// Runs the provider, and keeps its answer.
    const Answer& run(const CredentialProvider& provider, const Repository& repository,
                      const std::stop_token& stop);

    std::string name_;  ///< of the configuration
    std::filesystem::path programs_;
    std::vector<CredentialProvider> providers_;
    RunProgram run_;
    TimeSource clock_;
    std::mutex mutex_;
    /// By provider, and the image, the registry, or nothing, as the provider wants its answer to be
    /// used.
    std::map<std::pair<std::string, std::string>, Answer> answers_;
};

}  // namespace prebake::registry
