#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/bake/image_list.h"
#include "agent/bake/survey.h"
#include "agent/cli/commands.h"
#include "agent/containerd/connection.h"
#include "agent/registry/remote.h"

namespace prebake::cli {

/// The images that the arguments name, as they stand there. @throws Error usage when they name
/// none.
std::vector<bake::ImageRequest> read_images(const Config& config, const ImageArguments& arguments);

/// What holds for images that do not say otherwise. @throws Error usage.
bake::Defaults defaults_of(const Invocation& invocation);

/// What plan and bake work with.
struct Workbench {
    containerd::Connection connection;
    registry::Remote remote;

    Workbench(const Invocation& invocation, std::function<void(const std::string&)> on_retry);
    /// Completes the requests with the defaults, merges and resolves them.
    bake::Survey survey(const Invocation& invocation,
                        const std::vector<bake::ImageRequest>& requests);
};

}  // namespace prebake::cli
