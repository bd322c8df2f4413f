#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/oci/digest.h"
#include "agent/oci/reference.h"
#include "agent/store/labels.h"

/// The names of an image in containerd. Pure.
namespace prebake::store {

/// The namespace of CRI, and so of the kubelet.
inline constexpr std::string_view kCriNamespace = "k8s.io";

/// The containerd image names to create in `ns` for an image with these references, in the order of
/// creation.
/// In k8s.io these are the names that a CRI pull creates (tag name, repo@digest, bare config
/// digest): CRI looks images up by exactly these strings. In other namespaces (Docker, nerdctl) it
/// is only the normalised name; a bare "sha256:…" would be listed as a broken image.
std::vector<std::string> names_in(std::string_view ns,
                                  const std::vector<oci::Reference>& references,
                                  const oci::Digest& target, const oci::Digest& config);

/// True for CRI's name of an image by its ID, the digest of its config: "sha256:<64 hex digits>".
/// Images with one config and different manifests (the same build as gzip and as zstd, an index and
/// its child) share it. CRI lets it point at any of these.
bool is_image_id(std::string_view name);

/// True for an ID and for "repository@sha256:…". Such names come with an image; nobody looks for
/// its newest version under them.
bool is_name_by_digest(std::string_view name);

/// (namespace, name)
using NameSet = std::set<std::pair<std::string, std::string>>;

enum class Pin { no, yes };

/// The labels of a name in `ns`. An empty value deletes a label that is there.
Labels name_labels(std::string_view ns, Pin pin);

/// Every spelling of the image in a pod: the names in k8s.io except `except`, tag and digest
/// together, and the short forms of Docker Hub.
std::vector<std::string> pod_spellings(const std::vector<oci::Reference>& references,
                                       const oci::Digest& target, const oci::Digest& config,
                                       const std::set<std::string>& except = {});

}  // namespace prebake::store
