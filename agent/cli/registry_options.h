#pragma once

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/cli/config.h"
#include "agent/registry/auth_config.h"

namespace prebake::cli {

/// Of the commands that ask registries. As skopeo, containerd and the kubelet name them.
struct RegistryOptions {
    std::string auth_file;
    std::vector<std::string> hosts_directories;
    std::string provider_config;
    std::string provider_programs;

    void add_to(CLI::App& command) {
        command
            .add_option("--authfile", auth_file,
                        "Credentials as docker login and skopeo login write them; - is stdin")
            ->type_name("FILE");
        command
            .add_option("--hosts-dir", hosts_directories,
                        "Directory with a hosts.toml for each registry; can be repeated (default: "
                        "CRI's, /etc/containerd/certs.d, /etc/docker/certs.d)")
            ->type_name("DIR")
            ->allow_extra_args(false);
        command
            .add_option("--image-credential-provider-config", provider_config,
                        "The kubelet's configuration of credential providers (default: the one "
                        "that this machine's kubelet uses)")
            ->type_name("FILE");
        command
            .add_option("--image-credential-provider-bin-dir", provider_programs,
                        "The directory of their programs")
            ->type_name("DIR");
    }

    void apply_to(Config& config) const {
        if (!hosts_directories.empty()) {
            config.hosts_directories = {hosts_directories.begin(), hosts_directories.end()};
        }
        if (!provider_config.empty()) config.provider_config = provider_config;
        if (!provider_programs.empty()) config.provider_programs = provider_programs;
    }

    /// What --authfile - has on standard input, if no image list is read from there.
    std::optional<std::string> read_credentials(const std::vector<std::string>& lists) const {
        if (auth_file != "-") return std::nullopt;
        if (std::find(lists.begin(), lists.end(), "-") != lists.end()) {
            throw Error(Errc::usage, "both --authfile and --file name standard input",
                        "put the image list into a file");
        }
        return read_descriptor(STDIN_FILENO, "stdin", registry::kMaxAuthConfigBytes);
    }
};

}  // namespace prebake::cli
