#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/oci/platform.h"
#include "agent/oci/reference.h"

namespace prebake::bake {

/// One entry of an image list: what to bake and how. (The files themselves are read in cli/.)
struct ImageRequest {
    oci::Reference reference;
    std::optional<oci::Platform> platform;  ///< nothing: the bake's default
    std::vector<std::string> namespaces;    ///< empty: the bake's default
    std::vector<oci::Reference> aliases;    ///< further names for the same image
    bool pin = true;                        ///< keep the kubelet's image garbage collection away
    bool unpack = true;
    bool keep_layers = true;  ///< keep the compressed layers after unpacking
    std::string origin;       ///< "images.toml:3", "command line": where to look when it is wrong

    /// The reference, then the aliases.
    std::vector<oci::Reference> references() const;
};

/// What holds for every image that does not say otherwise.
struct Defaults {
    std::vector<std::string> namespaces{"k8s.io"};
    oci::Platform platform = oci::Platform::host();
    std::string snapshotter = {};  ///< empty: the one that each namespace's clients use
};

/// Fills in the defaults. Before merging: what is left open here means the default and nothing
/// else.
std::vector<ImageRequest> with_defaults(std::vector<ImageRequest> requests,
                                        const Defaults& defaults);

/// Merges entries that name the same image for the same platform: namespaces and aliases are
/// united, a digest given once holds for all, and of two values of a switch the one that keeps more
/// wins. Order of first mention. @throws Error usage when one name is given two digests, naming
/// both places.
std::vector<ImageRequest> merge_requests(const std::vector<ImageRequest>& requests);

/// Warnings that an experienced colleague would give: references that the kubelet pulls again on
/// every start (`:latest`, or no tag and no digest).
std::vector<std::string> warnings_for(const std::vector<ImageRequest>& requests);

}  // namespace prebake::bake
