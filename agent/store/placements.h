#pragma once

#include <string_view>

#include "proto/prebake/v1/bake_record.pb.h"

/// In which of the machine's image stores an image of the record is. Pure.
namespace prebake::store {

/// Docker's images are those of this namespace: dockerd's own in containerd, and so we call its
/// graph driver, too.
inline constexpr std::string_view kDockerNamespace = "moby";

/// Whether dockerd has the image in a graph driver, which only its API reaches.
inline bool is_in_graph_driver(const v1::Placement& placement) {
    return !placement.graph_driver().empty();
}

/// What of the record is in containerd, without images that are nowhere there.
v1::BakeRecord only_in_containerd(const v1::BakeRecord& record);

/// What of the record is in a graph driver of dockerd.
v1::BakeRecord only_in_engine(const v1::BakeRecord& record);

/// What of the record is Docker's, in whichever store.
v1::BakeRecord only_for_docker(const v1::BakeRecord& record);

}  // namespace prebake::store
