#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/plan.h"
#include "agent/containerd/connection.h"
#include "agent/registry/remote.h"
#include "agent/store/snapshotter.h"
#include "agent/store/storage.h"

namespace prebake::bake {

/// What the image's namespaces hold of it: readable blobs, and snapshots in their snapshotter.
StoreContents look_up(const ResolvedImage& image, const store::Snapshotters& snapshotters,
                      const containerd::Connection& connection);

/// What a bake has to know before it starts.
struct Survey {
    Plan plan;
    StoreContents store;
    store::Storage storage;
    store::Snapshotters snapshotters;
    std::optional<store::FreeSpace>
        free_space;  ///< nothing: containerd's directories are not visible
    std::string containerd_version;
};

/// Asks the registries and containerd about every request (complete and merged), `width` images at
/// a time. Images are unpacked into `snapshotter`; if that is empty, into the one that each
/// namespace's clients use. Changes nothing. A request that cannot be resolved is a PlannedImage
/// with a problem; the others are not affected.
/// @throws Error only for what concerns them all: containerd does not answer, the snapshotter is
/// unknown, interrupted.
Survey survey(const std::vector<ImageRequest>& requests, const std::string& snapshotter,
              registry::Remote& remote, const containerd::Connection& connection,
              std::size_t width);

}  // namespace prebake::bake
