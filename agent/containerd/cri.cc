#include "agent/containerd/cri.h"

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <initializer_list>
#include <iterator>
#include <string_view>

#include "agent/containerd/call.h"
#include "agent/containerd/introspection.h"
#include "proto/containerd/cri.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace cri_api = ::runtime::v1;

/// CRI kills the containers of a pod at once; its network plugins may take longer.
constexpr std::chrono::minutes kPodTimeout{2};

/// The string at `path` in `document`; empty if there is none.
std::string string_at(const boost::json::value& document,
                      std::initializer_list<std::string_view> path) {
    const boost::json::value* value = &document;
    for (const std::string_view key : path) {
        const auto* object = value->if_object();
        value = object ? object->if_contains(key) : nullptr;
        if (!value) return {};
    }
    const auto* text = value->if_string();
    return text ? std::string(*text) : std::string();
}

/// `configuration` has no fixed schema. Null if it is not JSON.
boost::json::value parsed(std::string_view configuration) {
    boost::json::error_code error;
    boost::json::value document = boost::json::parse(configuration, error);
    return error ? boost::json::value() : document;
}

/// CRI's configuration; empty if CRI does not report it.
std::string configuration(const Connection& connection) {
    cri_api::StatusRequest request;
    request.set_verbose(true);
    cri_api::StatusResponse response;
    check(invoke(connection, Scope{}, &cri_api::RuntimeService::Stub::Status, request, response,
                 kReadTimeout),
          connection, "ask CRI for its configuration");
    const auto config = response.info().find("config");
    return config == response.info().end() ? std::string() : config->second;
}

struct PluginName {
    std::string_view type;
    std::string_view id;
};

/// The plugins that CRI consists of. Since 2.0 the first two do the work, and their errors explain
/// that of the third.
constexpr std::array<PluginName, 3> kPluginsOfCri{{
    {"io.containerd.cri.v1", "images"},
    {"io.containerd.cri.v1", "runtime"},
    {"io.containerd.grpc.v1", "cri"},
}};

/// An error of containerd may quote whole configurations.
constexpr std::size_t kMaxPluginError = 300;

std::string shortened(const std::string& text) {
    return text.size() <= kMaxPluginError ? text : text.substr(0, kMaxPluginError) + "...";
}

CriImage image_from(const cri_api::Image& wire) {
    return CriImage{.id = wire.id(),
                    .repo_tags = {wire.repo_tags().begin(), wire.repo_tags().end()},
                    .repo_digests = {wire.repo_digests().begin(), wire.repo_digests().end()},
                    .pinned = wire.pinned()};
}

}  // namespace

std::string snapshotter_in(std::string_view configuration) {
    const boost::json::value document = parsed(configuration);
    // From 1.7 on a runtime may have its own.
    const std::string runtime = string_at(document, {"containerd", "defaultRuntimeName"});
    std::string own = string_at(document, {"containerd", "runtimes", runtime, "snapshotter"});
    return own.empty() ? string_at(document, {"containerd", "snapshotter"}) : own;
}

std::string sandbox_image_in(std::string_view configuration) {
    return string_at(parsed(configuration), {"sandboxImage"});
}

CriService no_cri(const std::vector<Plugin>& plugins) {
    bool is_there = false;
    for (const PluginName& name : kPluginsOfCri) {
        const auto found = std::find_if(plugins.begin(), plugins.end(), [&](const Plugin& plugin) {
            return plugin.type == name.type && plugin.id == name.id;
        });
        if (found == plugins.end()) continue;
        if (!found->init_error.empty()) {
            return {.has_failed = true,
                    .problem = "its CRI plugin failed to load: " + shortened(found->init_error),
                    .next_step =
                        "correct the CRI section of containerd's configuration, then: "
                        "systemctl restart containerd"};
        }
        is_there = name.id == "cri";
    }
    if (is_there) {
        return {.problem = "its CRI plugin is loaded and does not answer",
                .next_step = "see why with: journalctl -u containerd"};
    }
    return {.problem = "its CRI plugin is disabled, or not a part of it",
            .next_step =
                "remove \"cri\" (or \"io.containerd.grpc.v1.cri\") from disabled_plugins in "
                "containerd's "
                "configuration (/etc/containerd/config.toml), then: systemctl restart containerd"};
}

Cri::Cri(const Connection& connection) : connection_(connection) {}

CriService Cri::service() const {
    if (available()) return {.answers = true};
    return no_cri(plugins(connection_));
}

bool Cri::available() const {
    cri_api::VersionResponse response;
    const grpc::Status status =
        invoke(connection_, Scope{}, &cri_api::RuntimeService::Stub::Version,
               cri_api::VersionRequest(), response, kReadTimeout);
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) return false;
    check(status, connection_, "ask CRI for its version");
    return true;
}

std::optional<CriImage> Cri::image_status(const std::string& image) const {
    cri_api::ImageStatusRequest request;
    request.mutable_image()->set_image(image);
    cri_api::ImageStatusResponse response;
    check(invoke(connection_, Scope{}, &cri_api::ImageService::Stub::ImageStatus, request, response,
                 kReadTimeout),
          connection_, "ask CRI for the image " + image);
    if (!response.has_image()) return {};
    return image_from(response.image());
}

std::vector<CriImage> Cri::list_images() const {
    cri_api::ListImagesResponse response;
    check(invoke(connection_, Scope{}, &cri_api::ImageService::Stub::ListImages,
                 cri_api::ListImagesRequest(), response, kReadTimeout),
          connection_, "ask CRI for its images");
    std::vector<CriImage> images;
    std::transform(response.images().begin(), response.images().end(), std::back_inserter(images),
                   image_from);
    return images;
}

std::size_t Cri::remove_pods() const {
    cri_api::ListPodSandboxResponse pods;
    check(invoke(connection_, Scope{}, &cri_api::RuntimeService::Stub::ListPodSandbox,
                 cri_api::ListPodSandboxRequest(), pods, kReadTimeout),
          connection_, "ask CRI for the pods");
    for (const cri_api::PodSandbox& pod : pods.items()) {
        cri_api::StopPodSandboxRequest stop;
        stop.set_pod_sandbox_id(pod.id());
        cri_api::StopPodSandboxResponse stopped;
        check(invoke(connection_, Scope{}, &cri_api::RuntimeService::Stub::StopPodSandbox, stop,
                     stopped, kPodTimeout),
              connection_, "stop the pod " + pod.id());
        cri_api::RemovePodSandboxRequest remove;
        remove.set_pod_sandbox_id(pod.id());
        cri_api::RemovePodSandboxResponse removed;
        check(invoke(connection_, Scope{}, &cri_api::RuntimeService::Stub::RemovePodSandbox, remove,
                     removed, kPodTimeout),
              connection_, "remove the pod " + pod.id());
    }
    return static_cast<std::size_t>(pods.items_size());
}

std::string Cri::snapshotter() const {
    std::string named = snapshotter_in(configuration(connection_));
    if (!named.empty()) return named;
    // From 2.0 on the configuration lacks the image plugin's part. CRI keeps images in the
    // directory of its snapshotter; with several snapshotters, the default one comes first.
    cri_api::ImageFsInfoResponse filesystems;
    check(invoke(connection_, Scope{}, &cri_api::ImageService::Stub::ImageFsInfo,
                 cri_api::ImageFsInfoRequest(), filesystems, kReadTimeout),
          connection_, "ask CRI where it keeps images");
    if (filesystems.image_filesystems().empty()) return {};
    const std::string& directory = filesystems.image_filesystems(0).fs_id().mountpoint();
    for (const Plugin& plugin : plugins(connection_)) {
        if (plugin.type != "io.containerd.snapshotter.v1") continue;
        const auto root = plugin.exports.find("root");
        if (root != plugin.exports.end() && root->second == directory) return plugin.id;
    }
    return {};
}

std::string Cri::sandbox_image() const {
    return sandbox_image_in(configuration(connection_));
}

}  // namespace prebake::containerd
