#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/docker/engine.h"
#include "agent/store/finding.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::store {

/// How dockerd has one name of an image.
struct NameInEngine {
    /// Nothing if it has it as it was baked; otherwise name_missing or name_moved.
    std::optional<FindingKind> problem = {};
    std::string expected = {};
    std::string found = {};
};

/// Looks in dockerd's graph driver for `name`, which has to name the image with this config, these
/// layers and this platform. @throws Error as docker::Engine.
NameInEngine look_up(const std::string& name, const v1::BakedImage& image, docker::Engine& engine);

/// Compares the images of the record that are in dockerd's graph driver with what dockerd has.
/// @throws Error as docker::Engine.
std::vector<Finding> check_engine(const v1::BakeRecord& record, docker::Engine& engine);

}  // namespace prebake::store
