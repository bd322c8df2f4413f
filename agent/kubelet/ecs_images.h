#pragma once

#include <string>
#include <vector>

#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::kubelet {

/// A baked image as the ECS agent may know it. The agent compares text, so every way to write one
/// image is a name of its own.
struct EcsImage {
    std::string name;  ///< in the bake record
    /// As Docker lists it ("nginx:1.27"): the only names of images that no task has used yet. Empty
    /// if the image has no tag.
    std::vector<std::string> listed;
    /// In task definitions: with its tag, for Docker Hub also with its registry, and without the
    /// tag if that is latest. Begins with `listed`.
    std::vector<std::string> by_tag;
    /// In task definitions, and of tasks of a service: ECS adds the digest to what the task
    /// definition has ("nginx:1.27@sha256:...").
    std::vector<std::string> by_digest;
};

/// The images of the record that are in Docker's store, those that containers run from. Pure.
std::vector<EcsImage> ecs_images(const v1::BakeRecord& record);

}  // namespace prebake::kubelet
