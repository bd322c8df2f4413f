#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/stream.h"
#include "agent/http/client.h"
#include "agent/oci/digest.h"
#include "agent/oci/platform.h"
#include "agent/oci/reference.h"

/// The client of dockerd's Engine API, on its unix socket. The API's version is negotiated:
/// 1.24 (Docker 1.12) to 1.47. Newer engines still speak one of these.
namespace prebake::docker {

/// The socket of `host`, which is a path or "unix://PATH" as in DOCKER_HOST.
/// @throws Error usage if it is neither; unsupported for "tcp://", "ssh://" and others: an engine
/// on another machine.
std::filesystem::path socket_of(std::string_view host);

/// What dockerd says of itself.
struct EngineInfo {
    std::string version;      ///< "28.5.2"
    std::string api_version;  ///< the one that we speak with it: "1.47"
    std::string id;           ///< its engine ID, which a clone must not share
    oci::Platform platform;
    /// The graph driver ("overlay2"), or the snapshotter ("overlayfs") if it keeps its images in
    /// containerd.
    std::string driver;
    bool uses_containerd_store = false;
    std::filesystem::path data_root;  ///< /var/lib/docker
    /// The socket of its containerd; empty before 27, which does not say.
    std::string containerd_address;
    /// Its namespace in containerd; "moby" unless it says otherwise.
    std::string containerd_namespace = "moby";
    bool has_user_namespaces = false;  ///< userns-remap: another data root for each mapping
    bool is_rootless = false;
};

/// @throws Error unsupported for rootless Docker.
void require_supported(const EngineInfo& info);

/// An image as dockerd has it.
struct EngineImage {
    std::string id;                         ///< "sha256:…"
    std::vector<std::string> repo_tags;     ///< as dockerd writes them: "alpine:3.20"
    std::vector<std::string> repo_digests;  ///< "alpine@sha256:…"
    oci::Platform platform;
    std::vector<std::string> layers;  ///< diffIDs, bottom first
    /// Of `layers`, if the graph driver has a directory for each (overlay2); else empty.
    std::vector<std::string> layer_directories = {};
    std::uint64_t bytes = 0;  ///< as it counts: unpacked, or of its blobs in containerd
};

/// Credentials of one registry, for the header X-Registry-Auth.
struct RegistryLogin {
    std::string
        server;  ///< its host: "registry.example:5000"; Docker Hub: "https://index.docker.io/v1/"
    std::string username = {};
    std::string password = {};
    std::string identity_token = {};  ///< in place of both
};

/// Progress of one layer of a pull. Sizes are in bytes; 0: not known.
struct PullProgress {
    std::string layer;   ///< the short ID that dockerd shows
    std::string status;  ///< "Downloading", "Extracting", "Pull complete", ...
    std::uint64_t current = 0;
    std::uint64_t total = 0;

    bool operator==(const PullProgress&) const = default;
};

struct PullRequest {
    oci::Reference reference;  ///< with a digest: that one; else its tag
    oci::Platform platform;
    std::optional<RegistryLogin> login = {};
};

/// A container of dockerd.
struct EngineContainer {
    std::string id;
    std::string image;     ///< as its creator named it
    std::string image_id;  ///< "sha256:…"
    bool has_started = false;
    std::chrono::system_clock::time_point created_at = {};
};

/// One event of dockerd. Unknown types and actions are passed on.
struct EngineEvent {
    std::string type;    ///< "container", "image", ...
    std::string action;  ///< "create", "start", "destroy"; "pull", "tag", "untag", "delete", ...
    std::string id;      ///< the container's ID; an image's ID or name
    std::string image;   ///< of a container: as its creator named it
    std::chrono::system_clock::time_point at = {};
};

/// Thread-safe. All calls end soon after a stop is requested, with the Error cancelled.
/// @throws Error from each call: unavailable if nothing listens on the socket or the connection
/// ends; permission_denied if it may not be used; unsupported if the API versions do not meet;
/// corrupt if what answers is not an Engine; timed_out. Each names the socket and the next step.
class Engine {
  public:
    virtual ~Engine() = default;

    virtual const std::filesystem::path& socket() const = 0;
    virtual EngineInfo info() = 0;
    /// Nothing if dockerd does not have it. `name` is a reference or an image ID.
    virtual std::optional<EngineImage> inspect(const std::string& name) = 0;
    /// Reads the stream to its end: dockerd reports errors in it, with status 200.
    /// @throws Error also not_found, unauthenticated, rate_limited, no_space: what dockerd says of
    /// the registry and of its disk.
    virtual void pull(const PullRequest& request,
                      const std::function<void(const PullProgress&)>& on_progress) = 0;
    /// Gives the image `name` the further name `tag`, which must have a tag.
    virtual void tag(const std::string& name, const oci::Reference& tag) = 0;
    /// Loads a docker-archive of `size` bytes. @throws Error also what the stream says of images
    /// that could not be unpacked.
    virtual void load(Source& archive, std::uint64_t size) = 0;
    virtual std::vector<EngineContainer> containers() = 0;
    /// Calls `on_event` for each event of containers and images since `since`; dockerd remembers
    /// its latest 256 events. Calls `on_subscribed` once no later event can be missed. Never
    /// returns.
    /// @throws Error unavailable if dockerd is gone; cancelled.
    [[noreturn]] virtual void follow_events(
        std::chrono::system_clock::time_point since, const std::function<void()>& on_subscribed,
        const std::function<void(const EngineEvent&)>& on_event) = 0;
};

/// How long dockerd may make no progress before a call fails with timed_out.
struct Patience {
    std::chrono::milliseconds answer = std::chrono::minutes(2);  ///< to a question
    /// While it downloads: it waits for a registry without a limit.
    std::chrono::milliseconds download = std::chrono::minutes(5);
    /// While it unpacks. It says nothing until all of a layer is on the disk, which takes long for
    /// many gigabytes on a slow one.
    std::chrono::milliseconds unpack = std::chrono::hours(1);
};

/// `client` must live longer. Its own timeouts do not count: they are for registries. Nothing is
/// sent before the first call.
std::unique_ptr<Engine> connect(http::Client& client, std::filesystem::path socket,
                                std::stop_token stop, Patience patience = {});

}  // namespace prebake::docker
