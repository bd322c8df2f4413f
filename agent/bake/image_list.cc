#include "agent/bake/image_list.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "agent/base/error.h"
#include "agent/store/names.h"
#include "agent/store/placements.h"

namespace prebake::bake {
namespace {

template <typename T>
void unite(std::vector<T>& into, const std::vector<T>& from) {
    for (const T& item : from) {
        if (std::find(into.begin(), into.end(), item) == into.end()) into.push_back(item);
    }
}

/// Equal for two references that lead to the same containerd name.
std::string identity_of(const oci::Reference& reference) {
    if (const auto tag_name = reference.tag_name()) return *tag_name;
    return reference.str();
}

/// A containerd name has one target, so a name has one digest for all platforms.
void require_one_digest(const ImageRequest& one, const ImageRequest& other) {
    const auto& digest = one.reference.digest;
    const auto& other_digest = other.reference.digest;
    if (!digest || !other_digest || digest == other_digest) return;
    throw Error(Errc::usage,
                "image " + identity_of(one.reference) +
                    " is listed with two digests: " + digest->str() + " (" + one.origin + ") and " +
                    other_digest->str() + " (" + other.origin + ")",
                "remove one of the two");
}

void require_one_kind(const ImageRequest& one, const ImageRequest& other) {
    if (one.kind == other.kind) return;
    throw Error(Errc::usage,
                "image " + identity_of(one.reference) + " is listed as two kinds: " +
                    std::string(to_string(one.kind)) + " (" + one.origin + ") and " +
                    std::string(to_string(other.kind)) + " (" + other.origin + ")",
                "remove one of the two");
}

void merge_into(ImageRequest& kept, const ImageRequest& other) {
    if (!kept.reference.digest) kept.reference.digest = other.reference.digest;
    unite(kept.namespaces, other.namespaces);
    unite(kept.aliases, other.aliases);
    unite(kept.traces, other.traces);
    kept.pin = kept.pin || other.pin;
    kept.unpack = kept.unpack || other.unpack;
    kept.keep_layers = kept.keep_layers || other.keep_layers;
    kept.priority = std::max(kept.priority, other.priority);
    kept.is_sandbox = kept.is_sandbox && other.is_sandbox;
    kept.in_graph_driver = kept.in_graph_driver || other.in_graph_driver;
}

bool has_namespace(const std::vector<std::string>& namespaces, std::string_view ns) {
    return std::find(namespaces.begin(), namespaces.end(), ns) != namespaces.end();
}

bool is_for_pods(const ImageRequest& request) {
    return has_namespace(request.namespaces, store::kCriNamespace);
}

/// The namespaces of a request that sets none itself.
std::vector<std::string> default_namespaces(Runtime runtime, const Defaults& defaults) {
    const bool has_docker = has_namespace(defaults.namespaces, store::kDockerNamespace);
    if (runtime != Runtime::docker || has_docker) return defaults.namespaces;
    return {std::string(store::kDockerNamespace)};
}

/// What else to do about the sandbox image.
constexpr const char* kNoSandbox =
    "if the nodes get it in another way, set sandbox = \"never\" in [bake] of prebake.toml";

}  // namespace

std::string_view to_string(ImageKind kind) {
    switch (kind) {
        case ImageKind::image:
            return "image";
        case ImageKind::artifact:
            return "artifact";
        case ImageKind::volume:
            return "volume";
    }
    return "";
}

std::string_view to_string(Runtime runtime) {
    switch (runtime) {
        case Runtime::automatic:
            return "auto";
        case Runtime::containerd:
            return "containerd";
        case Runtime::docker:
            return "docker";
    }
    return "";
}

std::vector<oci::Reference> ImageRequest::references() const {
    std::vector<oci::Reference> all{reference};
    all.insert(all.end(), aliases.begin(), aliases.end());
    return all;
}

std::vector<ImageRequest> with_defaults(std::vector<ImageRequest> requests,
                                        const Defaults& defaults) {
    for (ImageRequest& request : requests) {
        if (!request.platform) request.platform = defaults.platform;
        if (!request.runtime) request.runtime = defaults.runtime;
        const std::vector<std::string> given =
            std::exchange(request.namespaces, std::vector<std::string>());
        unite(request.namespaces,
              given.empty() ? default_namespaces(*request.runtime, defaults) : given);
        if (request.runtime != Runtime::docker ||
            has_namespace(request.namespaces, store::kDockerNamespace)) {
            continue;
        }
        throw Error(Errc::usage,
                    request.origin + ": the runtime of " + request.reference.str() +
                        " is docker, and its namespaces lack moby, which is Docker's",
                    "add moby to namespaces, or leave out namespaces or runtime");
    }
    return requests;
}

bool is_for_docker(const ImageRequest& request) {
    return request.runtime != Runtime::containerd &&
           (request.in_graph_driver || has_namespace(request.namespaces, store::kDockerNamespace));
}

std::vector<ImageRequest> place_in_graph_driver(std::vector<ImageRequest> requests) {
    for (ImageRequest& request : requests) {
        if (!is_for_docker(request)) continue;
        if (request.kind == ImageKind::artifact || !request.unpack) {
            throw Error(Errc::usage,
                        request.origin + ": " + request.reference.str() +
                            " is not to be unpacked, and dockerd's graph driver holds only "
                            "unpacked images",
                        "leave out moby, or have dockerd keep its images in containerd (feature "
                        "containerd-snapshotter)");
        }
        std::erase(request.namespaces, store::kDockerNamespace);
        request.in_graph_driver = true;
    }
    return requests;
}

std::vector<ImageRequest> merge_requests(const std::vector<ImageRequest>& requests) {
    std::vector<ImageRequest> merged;
    std::map<std::pair<std::string, std::string>, std::size_t> seen;
    std::map<std::string, const ImageRequest*> with_digest;
    for (const ImageRequest& request : requests) {
        if (request.reference.digest) {
            const auto [first, is_first] =
                with_digest.try_emplace(identity_of(request.reference), &request);
            if (!is_first) require_one_digest(*first->second, request);
        }
        const std::pair key{identity_of(request.reference),
                            request.platform ? request.platform->str() : ""};
        const auto [entry, is_new] = seen.try_emplace(key, merged.size());
        if (is_new) {
            merged.push_back(request);
        } else {
            require_one_kind(merged[entry->second], request);
            merge_into(merged[entry->second], request);
        }
    }
    return merged;
}

bool any_for_pods(const std::vector<ImageRequest>& requests) {
    return std::any_of(requests.begin(), requests.end(), is_for_pods);
}

std::vector<ImageRequest> add_sandbox(std::vector<ImageRequest> requests, const std::string& name,
                                      const oci::Platform& platform) {
    ImageRequest sandbox{.reference = {},
                         .platform = platform,
                         .namespaces = {std::string(store::kCriNamespace)},
                         .aliases = {},
                         .is_sandbox = true,
                         .origin = "needed by CRI"};
    try {
        sandbox.reference = oci::Reference::parse(name);
    } catch (const Error& error) {
        throw explained(sandbox, Error(Errc::usage, error.message(),
                                       "correct it in containerd's configuration"));
    }
    if (!any_for_pods(requests)) return requests;
    for (const ImageRequest& request : requests) {
        if (!is_for_pods(request)) continue;
        for (const oci::Reference& reference : request.references()) {
            if (identity_of(reference) == identity_of(sandbox.reference)) return requests;
        }
    }
    requests.push_back(std::move(sandbox));
    return requests;
}

Error explained(const ImageRequest& request, const Error& error) {
    if (!request.is_sandbox || error.code() == Errc::cancelled) return error;
    const std::string& step = error.next_step();
    return Error(error.code(), "CRI needs this image for every pod: " + error.message(),
                 step + (step.empty() ? "" : "; ") + kNoSandbox);
}

std::vector<std::string> warnings_for(const std::vector<ImageRequest>& requests) {
    std::vector<std::string> warnings;
    std::set<std::string> warned;  // a list may have an image for several platforms
    for (const ImageRequest& request : requests) {
        const oci::Reference& reference = request.reference;
        if (reference.digest || reference.tag != "latest") continue;
        if (!warned.insert(reference.str()).second) continue;
        warnings.push_back(
            "image " + reference.str() + " (" + request.origin + ") " +
            (reference.tag_was_implied ? "has no tag" : "is tagged latest") +
            ": by default the kubelet asks the registry for it on every start, baked "
            "or not; name a version");
    }
    return warnings;
}

}  // namespace prebake::bake
