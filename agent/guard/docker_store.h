#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/docker/daemon_file.h"
#include "agent/docker/engine.h"
#include "agent/guard/image_health.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Whether dockerd uses the image store that was baked into. Pure.
namespace prebake::guard {

/// Whether an image of the record is for dockerd, in whichever store.
bool is_for_docker(const v1::BakeRecord& record);
/// Whether one is in containerd; also if nothing was baked, because then nothing is elsewhere.
bool needs_containerd(const v1::BakeRecord& record);

/// "Docker 28.5.2 with the containerd store (overlayfs)"
std::string describe_store(const docker::EngineInfo& info);

struct StoreMismatch {
    std::string message;
    std::string next_step;
};
/// How the store of this dockerd differs from the one that the record is about, and what made it
/// so; nothing if it is the same. `containerd` is the socket that prebake uses.
std::optional<StoreMismatch> compare_store(const v1::BakeRecord& record,
                                           const docker::EngineInfo& info,
                                           const docker::DaemonFile& file,
                                           const std::string& containerd);

/// The same if it is only known by what is there: with userns-remap dockerd keeps a graph driver
/// for each mapping of users. `images` are those in a graph driver, as they were checked.
std::optional<StoreMismatch> explain_absence(const std::vector<ImageHealth>& images,
                                             const docker::EngineInfo& info,
                                             const docker::DaemonFile& file);

}  // namespace prebake::guard
