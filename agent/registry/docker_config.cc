#include "agent/registry/docker_config.h"

#include <array>
#include <boost/json.hpp>
#include <cstdlib>
#include <utility>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/base/file_trust.h"

namespace prebake::registry {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxConfigBytes = 1UL << 20;

/// docker/cli's key for Docker Hub is a URL of its first API version.
constexpr std::string_view kHubKey = "https://index.docker.io/v1/";

std::string_view host_of_key(std::string_view key) {
    const auto scheme = key.find("://");
    if (scheme != std::string_view::npos) key.remove_prefix(scheme + 3);
    return key.substr(0, key.find('/'));
}

std::string text_at(const json::object& object, std::string_view key) {
    const auto* value = object.if_contains(key);
    return value != nullptr && value->is_string()
               ? std::string(std::string_view(value->as_string()))
               : std::string();
}

const json::object* object_at(const json::object& object, std::string_view key) {
    const auto* value = object.if_contains(key);
    return value == nullptr ? nullptr : value->if_object();
}

class DockerConfig : public CredentialSource {
  public:
    explicit DockerConfig(std::filesystem::path file) : file_(std::move(file)) {}

    /// Reads the file every time: it is small, and its secrets need not stay in memory.
    std::optional<Credentials> find(std::string_view registry) override {
        std::string text;
        try {
            text = read_trusted_file(file_, kMaxConfigBytes, WhoseFile::invokers);
        } catch (const Error& error) {
            if (error.code() == Errc::not_found) return std::nullopt;
            throw error.within("cannot read the registry credentials");
        }
        boost::system::error_code failure;
        const json::value document = json::parse(text, failure);
        if (failure || !document.is_object()) {
            throw malformed("is not a JSON object");
        }
        const json::object& config = document.as_object();
        std::optional<Credentials> found;
        if (const auto* auths = object_at(config, "auths")) found = find_in(*auths, registry);
        if (found && !found->anonymous()) return found;
        const std::string helper = helper_for(config, registry);
        if (helper.empty()) return std::nullopt;
        Credentials none;
        none.note = "the Docker config " + file_.string() + " names the credential helper \"" +
                    helper +
                    "\" for this registry, which prebake does not run; put the credentials into "
                    "its auths (docker login without a helper)";
        return none;
    }

  private:
    std::optional<Credentials> find_in(const json::object& auths, std::string_view registry) const {
        const bool hub = registry == "docker.io";
        const std::string_view exact = hub ? kHubKey : registry;
        if (const auto* entry = object_at(auths, exact)) return decode(*entry, exact);
        for (const auto& [key, value] : auths) {
            const std::string_view host = host_of_key(key);
            const bool same = host == registry || (hub && host == "index.docker.io");
            if (same && value.is_object()) return decode(value.as_object(), key);
        }
        return std::nullopt;
    }

    Credentials decode(const json::object& entry, std::string_view key) const {
        Credentials credentials{.username = text_at(entry, "username"),
                                .password = text_at(entry, "password"),
                                .identity_token = text_at(entry, "identitytoken"),
                                .registry_token = text_at(entry, "registrytoken"),
                                .note = {}};
        const std::string auth = text_at(entry, "auth");
        if (!auth.empty()) {
            const auto pair = base64_decode(auth);
            const auto colon = pair ? pair->find(':') : std::string::npos;
            if (colon == std::string::npos) {
                throw malformed("has no base64 of user:password in auths, " + std::string(key));
            }
            credentials.username = pair->substr(0, colon);
            credentials.password = pair->substr(colon + 1);
            // Some writers pad the pair with NULs.
            while (credentials.password.ends_with('\0')) credentials.password.pop_back();
        }
        if (!credentials.identity_token.empty()) credentials.username.clear();
        return credentials;
    }

    static std::string helper_for(const json::object& config, std::string_view registry) {
        if (const auto* helpers = object_at(config, "credHelpers")) {
            std::string helper = text_at(*helpers, registry);
            if (helper.empty() && registry == "docker.io") helper = text_at(*helpers, kHubKey);
            if (!helper.empty()) return helper;
        }
        return text_at(config, "credsStore");
    }

    Error malformed(const std::string& what) const {
        return Error(Errc::usage, "the Docker config " + file_.string() + " " + what,
                     "correct the file, or create it again with docker login");
    }

    std::filesystem::path file_;
};

}  // namespace

std::unique_ptr<CredentialSource> docker_config_credentials(std::filesystem::path file) {
    return std::make_unique<DockerConfig>(std::move(file));
}

std::optional<std::filesystem::path> default_docker_config() {
    struct Place {
        const char* variable;
        const char* below;
    };
    static constexpr std::array kPlaces{Place{"DOCKER_CONFIG", "config.json"},
                                        Place{"HOME", ".docker/config.json"}};
    for (const Place& place : kPlaces) {
        const char* directory = std::getenv(place.variable);
        if (directory != nullptr && *directory != '\0') {
            return std::filesystem::path(directory) / place.below;
        }
    }
    return std::nullopt;
}

}  // namespace prebake::registry
