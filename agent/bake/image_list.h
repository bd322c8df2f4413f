#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/oci/platform.h"
#include "agent/oci/reference.h"

namespace prebake::bake {

/// What an entry names.
enum class ImageKind {
    image,
    artifact,  ///< content that no container runs: a chart, a model, a policy. Never unpacked
    volume,    ///< an image that pods mount as a volume
};

/// The word in lists.
std::string_view to_string(ImageKind kind);

/// Whose image store an image is for.
enum class Runtime {
    automatic,   ///< as the namespaces say: moby is dockerd's, every other one is containerd's
    containerd,  ///< containerd's namespaces, moby too
    docker,      ///< dockerd's, wherever it keeps images
};

/// The word in lists, in the configuration and on the command line.
std::string_view to_string(Runtime runtime);

/// One entry of an image list: what to bake and how. (The files themselves are read in cli/.)
struct ImageRequest {
    oci::Reference reference;
    std::optional<oci::Platform> platform;  ///< nothing: the bake's default
    std::vector<std::string> namespaces;    ///< empty: the bake's default
    std::vector<oci::Reference> aliases;    ///< further names for the same image
    bool pin = true;                        ///< keep the kubelet's image garbage collection away
    bool unpack = true;
    bool keep_layers = true;  ///< keep the compressed layers after unpacking
    ImageKind kind = ImageKind::image;
    bool is_sandbox = false;  ///< CRI's sandbox image, which no list names: add_sandbox()
    std::string origin;       ///< where it is listed: "images.toml:3", "command line"
    std::optional<Runtime> runtime = {};  ///< nothing: the bake's default
    /// Of images on a disk that loads lazily, the higher one is read first after a boot.
    int priority = 0;
    std::vector<std::string> traces = {};  ///< files with what it was seen to read
    /// It (also) goes into dockerd's graph driver: see place_in_graph_driver().
    bool in_graph_driver = false;

    /// The reference, then the aliases.
    std::vector<oci::Reference> references() const;
};

/// The settings of images that do not set them.
struct Defaults {
    std::vector<std::string> namespaces{"k8s.io"};
    oci::Platform platform = oci::Platform::host();
    Runtime runtime = Runtime::automatic;
    std::string snapshotter = {};  ///< empty: the one that each namespace's clients use
};

/// Fills in the defaults. To be called before merge_requests(), which would otherwise merge an
/// unset key with a set one. @throws Error usage if an image for Docker names other namespaces.
std::vector<ImageRequest> with_defaults(std::vector<ImageRequest> requests,
                                        const Defaults& defaults);

/// Whether dockerd is to have the image: it is for the namespace moby, which is dockerd's unless
/// the runtime is containerd. The request has its defaults.
bool is_for_docker(const ImageRequest& request);

/// Has the requests for Docker go into dockerd's graph driver, for a dockerd that does not keep its
/// images in containerd. @throws Error usage for what a graph driver cannot hold: artifacts, images
/// that are not to be unpacked.
std::vector<ImageRequest> place_in_graph_driver(std::vector<ImageRequest> requests);

/// Merges entries that name the same image for the same platform: the result has the namespaces and
/// aliases of all, the digest if one of them has it, and of a switch the value that keeps more.
/// Sorted by first mention. @throws Error usage if one name has two digests or two kinds, naming
/// both places.
std::vector<ImageRequest> merge_requests(const std::vector<ImageRequest>& requests);

/// What is baked of CRI's sandbox image ("pause"), without which no pod starts.
enum class SandboxRule { automatic, never };

/// Whether pods get one of the images through CRI.
bool any_for_pods(const std::vector<ImageRequest>& requests);

/// Adds the sandbox image `name` for `platform`, unless one of the requests for pods has that
/// name or none is for pods. To be called between with_defaults() and merge_requests().
/// @throws Error usage if `name` is no reference.
std::vector<ImageRequest> add_sandbox(std::vector<ImageRequest> requests, const std::string& name,
                                      const oci::Platform& platform);

/// The error of a request. For the sandbox image it says who needs it and which setting omits it.
Error explained(const ImageRequest& request, const Error& error);

/// Warnings about references that the kubelet pulls again on every start: `:latest`, or neither tag
/// nor digest.
std::vector<std::string> warnings_for(const std::vector<ImageRequest>& requests);

}  // namespace prebake::bake
