#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/oci/digest.h"
#include "agent/oci/reference.h"
#include "agent/store/labels.h"

/// Under which names an image is found, and by whom. Pure.
namespace prebake::store {

/// The namespace that CRI, and so the kubelet, works in.
inline constexpr std::string_view kCriNamespace = "k8s.io";

/// The containerd image names to create in `ns` for an image that `references` name, in the order
/// of creation.
/// In k8s.io these are what a CRI pull would leave (tag name, repo@digest, bare config digest): CRI
/// looks images up by exactly these strings. Elsewhere (Docker, nerdctl) it is the normalised name
/// alone, and a bare "sha256:…" would be listed as a broken image.
std::vector<std::string> names_in(std::string_view ns,
                                  const std::vector<oci::Reference>& references,
                                  const oci::Digest& target, const oci::Digest& config);

/// (namespace, name)
using NameSet = std::set<std::pair<std::string, std::string>>;

enum class Pin { no, yes };

/// The labels of a name in `ns`. An empty value deletes a label that is there.
Labels name_labels(std::string_view ns, Pin pin);

/// Every spelling by which a pod may ask for the image: the names in k8s.io without `except`, tag
/// and digest together, and Docker Hub's short forms.
std::vector<std::string> pod_spellings(const std::vector<oci::Reference>& references,
                                       const oci::Digest& target, const oci::Digest& config,
                                       const std::set<std::string>& except = {});

}  // namespace prebake::store
