#include "agent/registry/kubelet_provider.h"

#include <algorithm>
#include <boost/json.hpp>
#include <functional>

#include "agent/base/error.h"
#include "agent/base/file_trust.h"
#include "agent/registry/auth_config.h"
#include "agent/registry/go_duration.h"
#include "agent/registry/json_members.h"
#include "agent/registry/yaml.h"

namespace prebake::registry {
namespace {

namespace json = boost::json;
using std::chrono::nanoseconds;

constexpr std::size_t kMaxConfigBytes = 1UL << 20;
constexpr std::string_view kConfigKind = "CredentialProviderConfig";
constexpr std::string_view kApiGroup = "credentialprovider.kubelet.k8s.io/";

std::vector<std::string> texts_at(const json::object& object, std::string_view key) {
    std::vector<std::string> texts;
    for (const json::value& value : array_at(object, key)) {
        if (value.is_string()) texts.emplace_back(std::string_view(value.as_string()));
    }
    return texts;
}

Error unusable(const std::string& name, const std::string& why) {
    return Error(Errc::usage, "the configuration of credential providers " + name + " " + why,
                 "correct it; the kubelet needs it as well");
}

CredentialProvider provider_in(const json::object& object, const std::string& name) {
    CredentialProvider provider{.name = text_at(object, "name"),
                                .match_images = texts_at(object, "matchImages"),
                                .api_version = text_at(object, "apiVersion"),
                                .arguments = texts_at(object, "args"),
                                .environment = {}};
    const bool is_name = !provider.name.empty() && provider.name != "." && provider.name != ".." &&
                         provider.name.find('/') == std::string::npos;
    if (!is_name) throw unusable(name, "has a provider without the name of a program");
    if (!std::string_view(provider.api_version).starts_with(kApiGroup)) {
        throw unusable(name, "has no apiVersion " + std::string(kApiGroup) + "… for the provider " +
                                 provider.name);
    }
    const auto duration = parse_go_duration(text_at(object, "defaultCacheDuration"));
    if (!duration) {
        throw unusable(name, "has no defaultCacheDuration for the provider " + provider.name);
    }
    provider.default_cache_duration = *duration;
    for (const json::value& variable : array_at(object, "env")) {
        if (!variable.is_object()) continue;
        provider.environment.emplace_back(text_at(variable.as_object(), "name"),
                                          text_at(variable.as_object(), "value"));
    }
    if (const auto* token = object_at(object, "tokenAttributes")) {
        const auto* required = token->if_contains("requireServiceAccount");
        provider.requires_service_account =
            required != nullptr && required->is_bool() && required->as_bool();
    }
    return provider;
}

/// What a provider answered.
struct Response {
    std::string cache_key_type;
    std::optional<nanoseconds> cache_duration;
    std::vector<std::pair<std::string, Credentials>> auth;
};

Response parse_response(std::string_view text, const CredentialProvider& provider) {
    boost::system::error_code failure;
    const json::value document = json::parse(text, failure);
    const json::object* const answer = failure ? nullptr : document.if_object();
    if (answer == nullptr || text_at(*answer, "kind") != "CredentialProviderResponse" ||
        text_at(*answer, "apiVersion") != provider.api_version) {
        throw Error(Errc::corrupt,
                    "its answer is no CredentialProviderResponse of " + provider.api_version);
    }
    Response response{.cache_key_type = text_at(*answer, "cacheKeyType"),
                      .cache_duration = parse_go_duration(text_at(*answer, "cacheDuration")),
                      .auth = {}};
    if (const auto* auth = object_at(*answer, "auth")) {
        for (const auto& [pattern, value] : *auth) {
            if (!value.is_object()) continue;
            Credentials credentials;
            credentials.username = text_at(value.as_object(), "username");
            credentials.password = text_at(value.as_object(), "password");
            credentials.source = provider.name;
            response.auth.emplace_back(pattern, std::move(credentials));
        }
    }
    // The kubelet tries them in the reverse order of their names: the longest path first.
    std::sort(response.auth.begin(), response.auth.end(),
              [](const auto& one, const auto& other) { return one.first > other.first; });
    return response;
}

std::string request_for(const CredentialProvider& provider, const Repository& repository) {
    return json::serialize(json::object{{"kind", "CredentialProviderRequest"},
                                        {"apiVersion", provider.api_version},
                                        {"image", repository.name()}});
}

/// Of a file, or of the files in a directory, in the order of their names.
std::vector<CredentialProvider> read_provider_configs(const std::filesystem::path& place) {
    std::vector<std::filesystem::path> files;
    std::error_code is_no_directory;
    for (const auto& entry : std::filesystem::directory_iterator(place, is_no_directory)) {
        const std::string ending = entry.path().extension().string();
        if (ending == ".json" || ending == ".yaml" || ending == ".yml") {
            files.push_back(entry.path());
        }
    }
    if (is_no_directory) files.push_back(place);
    std::sort(files.begin(), files.end());
    std::vector<CredentialProvider> providers;
    for (const std::filesystem::path& file : files) {
        const std::string text = read_trusted_file(file, kMaxConfigBytes, WhoseFile::invokers);
        for (CredentialProvider& provider : parse_provider_config(text, file.string())) {
            providers.push_back(std::move(provider));
        }
    }
    return providers;
}

}  // namespace

bool matches_image(std::string_view pattern, const Repository& repository) {
    const std::size_t scheme = pattern.find("://");
    if (scheme != std::string_view::npos) pattern.remove_prefix(scheme + 3);
    const std::size_t slash = std::min(pattern.find('/'), pattern.size());
    AuthKey host = AuthKey::parse(pattern.substr(0, slash));
    if (!host.match(repository)) return false;
    return ("/" + repository.path).starts_with(pattern.substr(slash));
}

std::vector<CredentialProvider> parse_provider_config(std::string_view text,
                                                      const std::string& name) {
    json::value document;
    try {
        document = parse_json_or_yaml(text);
    } catch (const Error& error) {
        throw unusable(name, "cannot be read: " + error.message());
    }
    const json::object* const config = document.if_object();
    if (config == nullptr || text_at(*config, "kind") != kConfigKind) {
        throw unusable(name, "is no " + std::string(kConfigKind));
    }
    std::vector<CredentialProvider> providers;
    for (const json::value& value : array_at(*config, "providers")) {
        if (!value.is_object()) throw unusable(name, "has a provider that is no object");
        providers.push_back(provider_in(value.as_object(), name));
    }
    return providers;
}

KubeletProviders::KubeletProviders(const std::filesystem::path& config,
                                   std::filesystem::path programs, RunProgram run, TimeSource clock)
    : name_(config.string()),
      programs_(std::move(programs)),
      providers_(read_provider_configs(config)),
      run_(std::move(run)),
      clock_(std::move(clock)) {}

std::optional<Credentials> KubeletProviders::find(const Repository& repository,
                                                  const std::stop_token& stop) {
    // One at a time: a caller that waits here gets the answer of the other.
    const std::scoped_lock lock(mutex_);
    Credentials none;
    for (const CredentialProvider& provider : providers_) {
        const auto is_for_it = [&](const std::string& pattern) {
            return matches_image(pattern, repository);
        };
        if (std::none_of(provider.match_images.begin(), provider.match_images.end(), is_for_it)) {
            continue;
        }
        const std::string who = "the credential provider " + provider.name + " of " + name_;
        if (provider.requires_service_account) {
            none.note = who + " works only for pods";
            continue;
        }
        const Answer& answer = ask(provider, repository, stop);
        for (const auto& [pattern, credentials] : answer.auth) {
            if (matches_image(pattern, repository) && !credentials.anonymous()) return credentials;
        }
        none.note = who + (answer.failure.empty() ? " has none" : " failed: " + answer.failure);
    }
    if (none.note.empty()) return std::nullopt;
    return none;
}

KubeletProviders::Answer* KubeletProviders::kept(const CredentialProvider& provider,
                                                 const Repository& repository) {
    Answer* failure = nullptr;
    for (const std::string& key : {repository.name(), repository.registry, std::string()}) {
        const auto answer = answers_.find({provider.name, key});
        if (answer == answers_.end() || clock_().steady >= answer->second.expires) continue;
        if (answer->second.failure.empty()) return &answer->second;
        failure = &answer->second;
    }
    return failure;
}

const KubeletProviders::Answer& KubeletProviders::ask(const CredentialProvider& provider,
                                                      const Repository& repository,
                                                      const std::stop_token& stop) {
    if (const Answer* const known = kept(provider, repository)) return *known;
    try {
        return run(provider, repository, stop);
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        Answer& answer = answers_[{provider.name, repository.name()}];
        answer = {
            .auth = {}, .failure = error.message(), .expires = clock_().steady + kFailureKept};
        return answer;
    }
}

const KubeletProviders::Answer& KubeletProviders::run(const CredentialProvider& provider,
                                                      const Repository& repository,
                                                      const std::stop_token& stop) {
    std::vector<std::string> arguments{(programs_ / provider.name).string()};
    arguments.insert(arguments.end(), provider.arguments.begin(), provider.arguments.end());
    const CommandResult result =
        run_(external_program(std::move(arguments), request_for(provider, repository),
                              provider.environment),
             stop);
    if (result.status != 0) throw Error(Errc::failed_precondition, complaint_of(result));
    Response response = parse_response(result.output, provider);
    std::string key = repository.name();
    if (response.cache_key_type == "Registry") key = repository.registry;
    if (response.cache_key_type == "Global") key.clear();
    Answer& answer = answers_[{provider.name, std::move(key)}];
    answer = {.auth = std::move(response.auth),
              .failure = {},
              .expires = clock_().steady +
                         std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                             response.cache_duration.value_or(provider.default_cache_duration))};
    return answer;
}

}  // namespace prebake::registry
