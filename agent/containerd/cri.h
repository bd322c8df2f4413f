#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/containerd/introspection.h"

namespace prebake::containerd {

struct CriImage {
    std::string id;  ///< "sha256:…" of the image config
    std::vector<std::string> repo_tags;
    std::vector<std::string> repo_digests;
    bool pinned = false;
};

/// The snapshotter in CRI's configuration, the JSON of RuntimeService.Status; empty if it has none.
std::string snapshotter_in(std::string_view configuration);
/// The sandbox image there; empty if it has none.
std::string sandbox_image_in(std::string_view configuration);

/// Whether a socket serves CRI.
struct CriService {
    bool answers = false;
    // If it does not:
    bool has_failed = false;   ///< the plugin is part of containerd, and failed to load
    std::string problem = {};  ///< of containerd: "its CRI plugin is disabled"
    std::string next_step = {};
};

/// Why a containerd with these plugins serves no CRI. Pure.
CriService no_cri(const std::vector<Plugin>& plugins);

/// The CRI service (runtime.v1) that the kubelet uses, if it is served on the same socket.
class Cri {
  public:
    explicit Cri(const Connection& connection);

    /// False if this socket does not serve CRI (the plugin is disabled or failed).
    bool available() const;
    /// The same, with the reason.
    CriService service() const;
    /// The image that a pod with `image` would get; nothing if CRI would pull.
    std::optional<CriImage> image_status(const std::string& image) const;
    /// All images as CRI sees them, in one call.
    std::vector<CriImage> list_images() const;
    /// Stops and removes every pod with its containers and network. Returns their number.
    std::size_t remove_pods() const;
    /// The snapshotter that CRI unpacks into (RuntimeService.Status, verbose); empty if CRI does
    /// not report it.
    std::string snapshotter() const;
    /// The image of the pods' sandboxes ("pause") in CRI's configuration; empty if CRI does not
    /// report it (2.0 and later).
    std::string sandbox_image() const;

  private:
    const Connection& connection_;
};

}  // namespace prebake::containerd
