#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/bake.h"
#include "agent/bake/image_list.h"
#include "agent/bake/survey.h"
#include "agent/cli/commands.h"
#include "agent/cli/docker_host.h"
#include "agent/containerd/connection.h"
#include "agent/registry/credentials.h"
#include "agent/registry/remote.h"
#include "agent/trust/policy.h"

namespace prebake::cli {

/// The images in the arguments, without defaults applied. @throws Error usage if there are none.
std::vector<bake::ImageRequest> read_images(const Config& config, const ImageArguments& arguments);

/// Defaults for images that do not set these values. @throws Error usage.
bake::Defaults defaults_of(const Invocation& invocation);

/// The connections of plan and bake.
struct BakeContext {
    trust::Policy policy;
    std::filesystem::path containerd_config;
    containerd::Connection connection;
    std::shared_ptr<registry::CredentialSource> credentials;
    registry::Remote remote;

    /// `on_notice` gets what the operator may want to know: retries, dockerd that is started.
    BakeContext(const Invocation& invocation, Notice on_notice);
    /// Merges and resolves requests that have their platforms and namespaces.
    bake::Survey resolve(const Invocation& invocation,
                         const std::vector<bake::ImageRequest>& requests,
                         const std::string& snapshotter);
    /// Applies the defaults to the requests, adds CRI's sandbox image, merges and resolves them.
    /// What is not known about the sandbox image is logged, and added to the warnings.
    /// @throws Error usage if a key of the rules of trust cannot be used.
    bake::Survey survey(const Invocation& invocation,
                        const std::vector<bake::ImageRequest>& requests,
                        std::vector<std::string>& warnings);
    /// For bake(): the dockerd that the survey was made with; null if no image is for Docker.
    const bake::DockerTarget* docker() const { return docker_ ? &*docker_ : nullptr; }

  private:
    std::vector<bake::ImageRequest> placed(const Invocation& invocation,
                                           std::vector<bake::ImageRequest> requests);

    Notice on_notice_;
    std::optional<DockerHost> docker_host_;
    std::optional<bake::DockerTarget> docker_;
};

/// How to bake, as the configuration has it.
bake::BakeOptions bake_options(const Invocation& invocation);

/// CRI's sandbox image on this machine, if it has to be baked; otherwise the name is empty.
struct WantedSandbox {
    std::string name = {};
    std::string doubt = {};  ///< why the name is not known
};
WantedSandbox wanted_sandbox(const Config& config, const containerd::Connection& connection);

}  // namespace prebake::cli
