#include <array>
#include <utility>

#include "agent/identity/items/all.h"
#include "agent/identity/items/lines.h"
#include "agent/identity/items/registry_config.h"

namespace prebake::identity {
namespace {

/// Where Docker, nerdctl, the kubelet (credentialprovider/config.go), podman, buildah, skopeo
/// (containers-auth.json(5)) and Helm look.
constexpr std::array<std::string_view, 9> kConfigs{"~/.docker/config.json",
                                                   "/etc/docker/config.json",
                                                   "/.docker/config.json",
                                                   "/var/lib/kubelet/config.json",
                                                   "/var/lib/kubelet/.docker/config.json",
                                                   "~/.config/containers/auth.json",
                                                   "/run/containers/*/auth.json",
                                                   "~/.config/helm/registry/config.json",
                                                   "~/.config/helm/registry.json"};

Changes further(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string_view pattern : kConfigs) {
        for (const std::string& path : root.match(pattern)) {
            const std::optional<std::string> text = read_regular(root, path);
            if (!text) continue;
            RegistryConfig config = without_credentials(*text);
            switch (config.verdict) {
                case RegistryConfig::Verdict::stays:
                    break;
                case RegistryConfig::Verdict::rewritten:
                    changes.push_back({Change::Kind::write, path, std::move(config.rest)});
                    break;
                case RegistryConfig::Verdict::goes:
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

}  // namespace

// Credentials in /etc/containerd/certs.d stand beside the configuration of mirrors, which clones
// need: the scan for secrets names them.
Item registry_credentials_item() {
    return {
        .name = "registry-credentials",
        .order = 600,
        .why = "Whoever has the image could pull, and perhaps push, as the one who built it.",
        .back = "Nobody; give clones a credential helper, which stays in these files.",
        .targets =
            {
                {Target::What::file, "~/.dockercfg"},
                {Target::What::file, "/var/lib/kubelet/.dockercfg"},
                {Target::What::file, "~/.docker/trust/private"},
            },
        .further = further,
        .further_says =
            "takes passwords and tokens out of the config.json and auth.json of Docker, nerdctl, "
            "kubelet, podman and Helm, and ECS_ENGINE_AUTH_DATA out of /etc/ecs/ecs.config; what "
            "has nothing else to say goes",
    };
}

}  // namespace prebake::identity
