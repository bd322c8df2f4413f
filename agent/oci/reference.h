#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "agent/oci/digest.h"

namespace prebake::oci {

/// A normalised image reference, parsed as Docker's distribution/reference grammar (ParseDockerRef)
/// does it. `nginx` is docker.io/library/nginx:latest; `localhost:5000/a` is a
/// registry with a port; `[::1]:5000/a` is an IPv6 registry.
struct Reference {
    std::string registry;            ///< "docker.io", "localhost:5000", "[::1]:5000"
    std::string repository;          ///< "library/nginx"
    std::optional<std::string> tag;  ///< "latest" is filled in when neither tag nor digest is given
    std::optional<Digest> digest;
    bool tag_was_implied = false;  ///< neither tag nor digest was written

    /// @throws Error usage that names the text and the reason; unsupported for digests that are not
    /// sha256.
    static Reference parse(std::string_view text);

    /// "docker.io/library/nginx"
    std::string name() const { return registry + "/" + repository; }
    /// name() with the tag and the digest, if there are any:
    /// "docker.io/library/nginx:1.27@sha256:…"
    std::string str() const;
    /// "docker.io/library/nginx:1.27"; nothing without a tag.
    std::optional<std::string> tag_name() const;
    /// The registry's host without port and brackets, as in the label
    /// containerd.io/distribution.source.<host>.
    std::string registry_host() const;

    bool operator==(const Reference&) const = default;
};

}  // namespace prebake::oci
