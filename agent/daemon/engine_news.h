#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/timestamp.h"
#include "agent/docker/daemon_file.h"
#include "agent/docker/engine.h"
#include "agent/guard/engine_guard.h"
#include "agent/store/finding.h"

/// What an EngineWatch tells the NodeLoop about dockerd.
namespace prebake::daemon {

/// dockerd answers. Comes once for each session with it.
struct EngineAnswered {
    docker::EngineInfo info;
    docker::DaemonFile file;
};

/// The session has ended, or could not begin.
struct EngineGone {
    Error error;
};

/// What dockerd's graph driver has. Images by name: with a tag or a digest as in the record, or by
/// their ID. Only images that the record, a container or an event names.
struct EngineSeen {
    Time at{};  ///< when reading began
    std::map<std::string, docker::EngineImage> images = {};
    std::set<std::string> news = {};  ///< the names of `images` that an event was about
    /// Nothing: they were not listed this time.
    std::optional<std::vector<docker::EngineContainer>> containers = {};
    std::vector<store::Finding> findings = {};
    struct Tagged {
        guard::LostTag tag;
        std::optional<Error> problem;  ///< not_found: dockerd does not have the image any more
    };
    std::vector<Tagged> tagged = {};
};

/// A container was created, started or destroyed in a dockerd with a graph driver.
struct EngineHappened {
    docker::EngineEvent event;
    std::string image_name = {};  ///< as in EngineSeen; with "create", if dockerd has the image
};

}  // namespace prebake::daemon
