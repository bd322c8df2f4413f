#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/identity/items/registry_config.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

/// Where Docker, nerdctl, the kubelet (credentialprovider/config.go), podman, buildah, skopeo
/// (containers-auth.json(5)) and Helm look for credentials.
constexpr std::array<std::string_view, 10> kRegistryConfigs{"~/.docker/config.json",
                                                            "~/snap/docker/*/.docker/config.json",
                                                            "/etc/docker/config.json",
                                                            "/.docker/config.json",
                                                            "/var/lib/kubelet/config.json",
                                                            "/var/lib/kubelet/.docker/config.json",
                                                            "~/.config/containers/auth.json",
                                                            "/run/containers/*/auth.json",
                                                            "~/.config/helm/registry/config.json",
                                                            "~/.config/helm/registry.json"};

/// Without the homes that a user's link leads to: the survey reports that link, because the item
/// has targets in homes, too.
std::vector<std::string> matches(const machine::Root& root, std::string_view pattern) {
    std::vector<Error> problems;
    std::vector<std::string> paths = root.match(pattern, problems);
    for (const Error& problem : problems) {
        if (problem.code() != Errc::untrusted) throw Error(problem);
    }
    return paths;
}

}  // namespace

Changes registry_credentials_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string_view pattern : kRegistryConfigs) {
        for (const std::string& path : matches(root, pattern)) {
            std::optional<std::string> text;
            try {
                text = read_regular(root, path);
            } catch (const Error& error) {
                if (error.code() != Errc::untrusted) throw;
                // The survey refuses the change, and says which link is on the way.
                changes.push_back({Change::Kind::remove, path, {}});
            }
            if (!text) continue;
            RegistryConfig config = without_credentials(*text);
            switch (config.verdict) {
                case RegistryConfig::Verdict::stays:
                    break;
                case RegistryConfig::Verdict::rewritten:
                    changes.push_back({Change::Kind::write, path, std::move(config.rest)});
                    break;
                case RegistryConfig::Verdict::removed:
                    changes.push_back({Change::Kind::remove, path, {}});
                    break;
            }
        }
    }
    const auto is_auth_data = [](std::string_view line) {
        return line.starts_with("ECS_ENGINE_AUTH_DATA=");
    };
    strip_lines(root, "/etc/ecs/ecs.config", is_auth_data, changes);
    return changes;
}

}  // namespace prebake::identity
