#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"

namespace prebake::containerd {

struct CriImage {
    std::string id;  ///< "sha256:…" of the image config
    std::vector<std::string> repo_tags;
    std::vector<std::string> repo_digests;
    bool pinned = false;
};

/// The CRI service (runtime.v1) that the kubelet talks to, if it answers on the same socket.
class Cri {
  public:
    explicit Cri(const Connection& connection);

    /// False when this socket serves no CRI (plugin disabled or failed).
    bool available() const;
    /// What a pod that names `image` would get; nothing if CRI would pull.
    std::optional<CriImage> image_status(const std::string& image) const;
    /// All images as CRI sees them, in one call.
    std::vector<CriImage> list_images() const;
    /// Stops and removes every pod, which ends its containers and takes back its network. Returns
    /// how many.
    std::size_t remove_pods() const;
    /// The snapshotter that CRI unpacks into (RuntimeService.Status, verbose); empty if it does not
    /// say.
    std::string snapshotter() const;
    /// The image of the pods' sandboxes ("pause") by CRI's own configuration; empty where it does
    /// not say (2.0 and later).
    std::string sandbox_image() const;

  private:
    const Connection& connection_;
};

}  // namespace prebake::containerd
