#include "agent/cli/bake_context.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "agent/cli/image_list_file.h"
#include "agent/cli/log.h"
#include "agent/http/client.h"
#include "agent/registry/docker_config.h"

namespace prebake::cli {
namespace {

/// How many images are resolved at the same time: resolving mostly waits for round trips.
constexpr std::size_t kParallelResolves = 8;

std::optional<std::string> environment(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
}

std::vector<std::string> configured_lists(const std::filesystem::path& directory) {
    std::vector<std::string> files;
    std::error_code ignored;  // without the directory there are no lists: the caller reports it
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        const std::string name = entry.path().filename().string();
        // Leftovers of editors and package managers.
        if (name.starts_with('.') || name.ends_with('~') ||
            name.find(".dpkg-") != std::string::npos || name.find(".rpm") != std::string::npos) {
            continue;
        }
        if (entry.is_regular_file()) files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    return files;
}

std::shared_ptr<registry::CredentialSource> credentials(const Config& config) {
    std::optional<std::filesystem::path> file = config.docker_config;
    if (file->empty()) file = registry::default_docker_config();
    return registry::docker_config_credentials(file.value_or(std::filesystem::path()));
}

}  // namespace

std::vector<bake::ImageRequest> read_images(const Config& config, const ImageArguments& arguments) {
    std::vector<bake::ImageRequest> requests;
    for (const std::string& text : arguments.references) {
        requests.push_back({.reference = oci::Reference::parse(text),
                            .platform = {},
                            .namespaces = {},
                            .aliases = {},
                            .origin = "command line"});
    }
    std::vector<std::string> lists = arguments.lists;
    const bool nothing_named = lists.empty() && requests.empty();
    if (nothing_named) lists = configured_lists(config.image_lists);
    for (const std::string& file : lists) {
        for (bake::ImageRequest& request : read_image_list(file, environment)) {
            requests.push_back(std::move(request));
        }
    }
    if (requests.empty()) {
        throw Error(Errc::usage,
                    "no image named, and no image list in " + config.image_lists.string(),
                    "name images as arguments, a list with -f, or put lists into that directory");
    }
    return requests;
}

BakeContext::BakeContext(const Invocation& invocation,
                         std::function<void(const std::string&)> on_retry)
    : connection(invocation.config.address, invocation.signals.token()),
      remote(http::make_client({.connect = invocation.config.connect_timeout,
                                .stall = invocation.config.stall_timeout},
                               "prebake/" PREBAKE_VERSION),
             credentials(invocation.config),
             {.retry = {.attempts = static_cast<int>(invocation.config.attempts)},
              .on_retry = std::move(on_retry)}) {}

bake::Defaults defaults_of(const Invocation& invocation) {
    bake::Defaults defaults{.namespaces = invocation.config.namespaces,
                            .snapshotter = invocation.config.snapshotter};
    if (!invocation.platform.empty()) {
        defaults.platform = oci::Platform::parse(invocation.platform);
    }
    return defaults;
}

bake::Survey BakeContext::survey(const Invocation& invocation,
                                 const std::vector<bake::ImageRequest>& requests) {
    const bake::Defaults defaults = defaults_of(invocation);
    bake::Survey survey =
        bake::survey(bake::merge_requests(bake::with_defaults(requests, defaults)),
                     defaults.snapshotter, remote, connection, kParallelResolves);
    log_debug("containerd " + survey.containerd_version + " at " + connection.address());
    for (const auto& [ns, snapshotter] : survey.snapshotters) {
        log_debug("namespace " + ns + " unpacks into " + snapshotter);
    }
    return survey;
}

}  // namespace prebake::cli
