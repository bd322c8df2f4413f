#include <filesystem>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/docker/engine.h"

namespace prebake::docker {

std::filesystem::path socket_of(std::string_view host) {
    constexpr std::string_view kUnix = "unix://";
    const bool is_url = host.find("://") != std::string_view::npos;
    if (is_url && !host.starts_with(kUnix)) {
        throw Error(Errc::unsupported,
                    "the Docker host " + std::string(host) + " is not a unix socket",
                    "run prebake on the machine itself, with unix:///var/run/docker.sock: the "
                    "images of another machine cannot be baked into this one");
    }
    std::filesystem::path path(is_url ? host.substr(kUnix.size()) : host);
    if (path.is_absolute()) return path;
    throw Error(Errc::usage, "the Docker host \"" + std::string(host) + "\" is not absolute",
                "give a path, or unix:///var/run/docker.sock");
}

void require_supported(const EngineInfo& info) {
    if (!info.is_rootless) return;
    throw Error(Errc::unsupported,
                "rootless Docker keeps its images in a user's home directory (" +
                    info.data_root.string() + "), which neither a seal nor a first boot knows",
                "bake into the machine's Docker: --docker-host unix:///var/run/docker.sock");
}

}  // namespace prebake::docker
