#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "agent/registry/credential_helper.h"
#include "agent/registry/credentials.h"
#include "agent/registry/kubelet_flags.h"

namespace prebake::registry {

/// A document with credentials (auth_config.h), and the helpers that it names: a helper for this
/// registry comes first, then the document's own entries, then the helper for all registries.
class AuthDocument : public CredentialSource {
  public:
    /// Returns the document's text, or nothing if there is no such document. Called every time: it
    /// is small, and its secrets need not stay in memory.
    using Read = std::function<std::optional<std::string>()>;

    AuthDocument(std::string name, Read read, std::shared_ptr<CredentialHelpers> helpers);

    /// @throws Error usage, and those of `read`.
    std::optional<Credentials> find(const Repository& repository,
                                    const std::stop_token& stop) override;

  private:
    std::string name_;
    Read read_;
    std::shared_ptr<CredentialHelpers> helpers_;
};

/// A file. A missing one means no credentials; one that other users can change is an error
/// (base/file_trust.h).
std::shared_ptr<CredentialSource> auth_file(const std::filesystem::path& file,
                                            std::shared_ptr<CredentialHelpers> helpers);

/// The first of several sources that has a secret. Without one, the notes of all of them.
///
/// Credentials for registries of clouds are valid for hours, and often one that has expired is
/// left in a file. If the registry refuses the secret of a source, the next ones are asked for that
/// repository. If it refuses those of all, the first one counts again: messages name it.
class CredentialChain : public CredentialSource {
  public:
    enum class AfterRefusal {
        ask_next,
        stop,  ///< the user named this source: no other one replaces it
    };
    struct Link {
        std::shared_ptr<CredentialSource> source;
        AfterRefusal after_refusal = AfterRefusal::ask_next;
    };

    /// `explain` gets each thing that was found out once, without secrets; it may be empty.
    CredentialChain(std::vector<Link> links, std::function<void(const std::string&)> explain);

    std::optional<Credentials> find(const Repository& repository,
                                    const std::stop_token& stop) override;
    std::optional<Credentials> find_other(const Repository& repository, const Credentials& refused,
                                          const std::stop_token& stop) override;

  private:
    bool is_refused(const Repository& repository, const Credentials& credentials);
    void say(const std::string& text);

    std::vector<Link> links_;
    std::function<void(const std::string&)> explain_;
    std::mutex mutex_;
    std::set<std::string> said_;
    /// By repository, and the source's name: a program may give another secret each time.
    std::set<std::pair<std::string, std::string>> refused_;
};

/// Where this user's credentials are.
struct CredentialPlaces {
    std::optional<std::string> given = {};     ///< --authfile -: the text on standard input
    std::filesystem::path auth_file = {};      ///< --authfile; empty: none
    std::filesystem::path docker_config = {};  ///< empty: Docker's usual place
    ProviderPlaces providers = {};             ///< empty: where this machine's kubelet has them
    std::filesystem::path root = "/";          ///< of the machine whose kubelet it is
    /// Environment variables for programs that know credentials, such as proxies.
    std::vector<std::pair<std::string, std::string>> program_variables = {};
};

/// The value of an environment variable, or empty.
using Variable = std::function<std::string(const char*)>;

/// In this order: --authfile, REGISTRY_AUTH_FILE, DOCKER_AUTH_CONFIG, Docker's config.json,
/// containers-auth.json(5), the kubelet's providers, the registry's cloud. After a refusal
/// --authfile and providers that were named are not replaced.
/// @throws Error not_found if a file that was named is missing; as KubeletProviders for providers
/// that were named: others that cannot be used are explained and left out.
std::shared_ptr<CredentialSource> all_credentials(const CredentialPlaces& places,
                                                  const Variable& variable,
                                                  std::function<void(const std::string&)> explain);

}  // namespace prebake::registry
