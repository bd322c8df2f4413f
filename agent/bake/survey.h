#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/admission.h"
#include "agent/bake/engine_baker.h"
#include "agent/bake/plan.h"
#include "agent/containerd/connection.h"
#include "agent/registry/remote.h"
#include "agent/store/snapshotter.h"
#include "agent/store/storage.h"

namespace prebake::bake {

/// What a bake must know before it starts.
struct Survey {
    Plan plan;
    PresentContent present;
    store::Storage storage;
    store::Snapshotters snapshotters;
    /// Nothing if containerd's directories are not visible.
    std::optional<store::FreeSpace> free_space;
    std::string containerd_version;
    std::optional<docker::EngineInfo> docker;  ///< if images are for it
    /// Of dockerd's data root, if images go there and it is visible.
    std::optional<std::uint64_t> free_engine_bytes;
    /// Of the registries that report one.
    std::map<std::string, registry::RateLimit> rate_limits;
};

/// Asks the registries about every request (complete and merged), `width` images at a time, and
/// containerd about all of them in a few calls for each namespace. Images are unpacked into
/// `snapshotter`; if that is empty, into the one that each namespace's clients use. `docker` is
/// asked about the requests for it; null if there are none. Changes nothing. A request that cannot
/// be resolved, or whose image is refused by `admission`, becomes a PlannedImage with a problem;
/// the others are not affected.
/// @throws Error if none can be resolved: containerd does not answer, the snapshotter is unknown, a
/// stop was requested.
Survey survey(const std::vector<ImageRequest>& requests, const std::string& snapshotter,
              registry::Remote& remote, const containerd::Connection& connection,
              const Admission& admission, const DockerTarget* docker, std::size_t width);

}  // namespace prebake::bake
