#include "agent/registry/credential_chain.h"

#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/file_trust.h"
#include "agent/registry/auth_config.h"
#include "agent/registry/cloud_credentials.h"
#include "agent/registry/cloud_registry.h"
#include "agent/registry/kubelet_provider.h"

namespace prebake::registry {
namespace {

std::optional<std::string> read_if_there(const std::filesystem::path& file) {
    try {
        return read_trusted_file(file, kMaxAuthConfigBytes, WhoseFile::invokers);
    } catch (const Error& error) {
        if (error.code() == Errc::not_found) return std::nullopt;
        throw error.within("cannot read the registry credentials");
    }
}

void require_file(const std::filesystem::path& file, const char* named_by) {
    std::error_code ignored;
    if (std::filesystem::exists(file, ignored)) return;
    throw Error(
        Errc::not_found,
        "there is no file " + file.string() + ", which " + named_by +
            " names for the registry credentials",
        "create it with skopeo login --authfile " + file.string() + ", or name another one");
}

std::string os_release_below(const std::filesystem::path& root) {
    for (const char* file : {"etc/os-release", "usr/lib/os-release"}) {
        try {
            return read_file(root / file, kMaxAuthConfigBytes);
        } catch (const Error&) {
            continue;  // it only makes the advice shorter
        }
    }
    return {};
}

/// Runs programs with these variables, too.
RunProgram run_with(std::vector<std::pair<std::string, std::string>> variables) {
    return [variables = std::move(variables)](Command command, const std::stop_token& stop) {
        command.environment.insert(command.environment.end(), variables.begin(), variables.end());
        return run_command(command, stop);
    };
}

std::shared_ptr<CredentialSource> kubelet_providers(
    const CredentialPlaces& places, const RunProgram& run,
    const std::function<void(const std::string&)>& explain) {
    const auto& [config, programs] = places.providers;
    if (config.empty() != programs.empty()) {
        throw Error(Errc::usage,
                    "credential providers of the kubelet need both their configuration and the "
                    "directory of their programs",
                    "use --image-credential-provider-config and "
                    "--image-credential-provider-bin-dir, as for the kubelet");
    }
    if (!config.empty()) return std::make_shared<KubeletProviders>(config, programs, run);
    const ProviderPlaces found = find_providers(places.root);
    if (found.config.empty()) return nullptr;
    try {
        return std::make_shared<KubeletProviders>(found.config, found.programs, run);
    } catch (const Error& error) {
        if (explain) explain("no credentials from providers of the kubelet: " + error.message());
        return nullptr;
    }
}

}  // namespace

AuthDocument::AuthDocument(std::string name, Read read, std::shared_ptr<CredentialHelpers> helpers)
    : name_(std::move(name)), read_(std::move(read)), helpers_(std::move(helpers)) {}

std::optional<Credentials> AuthDocument::find(const Repository& repository,
                                              const std::stop_token& stop) {
    const std::optional<std::string> text = read_();
    if (!text) return std::nullopt;
    const AuthConfig config(*text, name_);
    std::string note;
    const auto ask = [&](const std::string& helper) {
        Credentials answer;
        if (helper.empty()) return answer;
        answer = helpers_->get(helper, name_, repository, stop);
        if (note.empty()) note = answer.note;
        return answer;
    };
    Credentials found = ask(config.helper_for(repository));
    if (!found.anonymous()) return found;
    if (std::optional<Credentials> own = config.find(repository)) return own;
    found = ask(config.default_helper());
    if (!found.anonymous()) return found;
    if (note.empty()) return std::nullopt;
    found.note = std::move(note);
    return found;
}

std::shared_ptr<CredentialSource> auth_file(const std::filesystem::path& file,
                                            std::shared_ptr<CredentialHelpers> helpers) {
    return std::make_shared<AuthDocument>(
        file.string(), [file] { return read_if_there(file); }, std::move(helpers));
}

CredentialChain::CredentialChain(std::vector<Link> links,
                                 std::function<void(const std::string&)> explain)
    : links_(std::move(links)), explain_(std::move(explain)) {}

std::optional<Credentials> CredentialChain::find(const Repository& repository,
                                                 const std::stop_token& stop) {
    Credentials none;
    std::optional<Credentials> refused;
    for (const Link& link : links_) {
        std::optional<Credentials> found;
        try {
            found = link.source->find(repository, stop);
        } catch (const Error& error) {
            // Without the refusal this source would not be asked: the refusal is what to report.
            if (!refused || error.code() == Errc::cancelled) throw;
            say(repository.name() + ": no other credentials: " + error.message());
            continue;
        }
        if (!found) continue;
        if (found->anonymous()) {
            say(repository.name() + ": no credentials: " + found->note);
            none.note += (none.note.empty() ? "" : "; ") + found->note;
            continue;
        }
        if (!is_refused(repository, *found)) {
            say(repository.name() + ": credentials from " + found->source);
            return found;
        }
        if (!refused) refused = std::move(found);
        if (link.after_refusal == AfterRefusal::stop) break;
    }
    if (refused) return refused;
    if (none.note.empty()) {
        say(repository.name() + ": no credentials");
        return std::nullopt;
    }
    return none;
}

std::optional<Credentials> CredentialChain::find_other(const Repository& repository,
                                                       const Credentials& refused,
                                                       const std::stop_token& stop) {
    if (cloud_registry(repository.registry).cloud == Cloud::none) return std::nullopt;
    say(repository.name() + ": the registry refuses the credentials from " + refused.source);
    {
        const std::scoped_lock lock(mutex_);
        refused_.emplace(repository.name(), refused.source);
    }
    std::optional<Credentials> other = find(repository, stop);
    const bool is_other = other && !other->anonymous() && !is_refused(repository, *other);
    return is_other ? other : std::nullopt;
}

bool CredentialChain::is_refused(const Repository& repository, const Credentials& credentials) {
    const std::scoped_lock lock(mutex_);
    return refused_.contains({repository.name(), credentials.source});
}

void CredentialChain::say(const std::string& text) {
    if (!explain_) return;
    {
        const std::scoped_lock lock(mutex_);
        if (!said_.insert(text).second) return;
    }
    explain_(text);
}

std::shared_ptr<CredentialSource> all_credentials(const CredentialPlaces& places,
                                                  const Variable& variable,
                                                  std::function<void(const std::string&)> explain) {
    const RunProgram run = run_with(places.program_variables);
    const auto helpers = std::make_shared<CredentialHelpers>(run);
    using AfterRefusal = CredentialChain::AfterRefusal;
    std::vector<CredentialChain::Link> links;
    const auto add_file = [&](const std::filesystem::path& file) {
        links.push_back({.source = auth_file(file, helpers)});
    };
    const auto add_text = [&](std::string name, std::string text) {
        links.push_back({.source = std::make_shared<AuthDocument>(
                             std::move(name),
                             [text = std::move(text)] { return std::optional(text); }, helpers)});
    };
    if (places.given) {
        add_text("standard input", *places.given);
        links.back().after_refusal = AfterRefusal::stop;
    } else if (!places.auth_file.empty()) {
        require_file(places.auth_file, "--authfile");
        add_file(places.auth_file);
        links.back().after_refusal = AfterRefusal::stop;
    }
    if (const std::string file = variable("REGISTRY_AUTH_FILE"); !file.empty()) {
        require_file(file, "REGISTRY_AUTH_FILE");
        add_file(file);
    }
    if (std::string text = variable("DOCKER_AUTH_CONFIG"); !text.empty()) {
        add_text("DOCKER_AUTH_CONFIG", std::move(text));
    }
    const std::string home = variable("HOME");
    if (!places.docker_config.empty()) {
        add_file(places.docker_config);
    } else if (const std::string directory = variable("DOCKER_CONFIG"); !directory.empty()) {
        add_file(std::filesystem::path(directory) / "config.json");
    } else if (!home.empty()) {
        add_file(std::filesystem::path(home) / ".docker/config.json");
    }
    if (const std::string directory = variable("XDG_RUNTIME_DIR"); !directory.empty()) {
        add_file(std::filesystem::path(directory) / "containers/auth.json");
    }
    if (!home.empty()) add_file(std::filesystem::path(home) / ".config/containers/auth.json");
    if (auto providers = kubelet_providers(places, run, explain)) {
        const bool are_named = !places.providers.config.empty();
        links.push_back({.source = std::move(providers),
                         .after_refusal = are_named ? AfterRefusal::stop : AfterRefusal::ask_next});
    }
    links.push_back({.source = std::make_shared<CloudCredentials>(
                         helpers, os_release_below(places.root), run)});
    return std::make_shared<CredentialChain>(std::move(links), std::move(explain));
}

}  // namespace prebake::registry
