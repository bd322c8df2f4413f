#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/hydrate/block_trace.h"
#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/hydration.pb.h"

/// What a machine reads while it boots.
namespace prebake::hydrate {

struct BootRecording {
    v1::ReadTrace trace;
    std::uint64_t chunks = 0;
    std::vector<std::string> warnings;  ///< what is missing in it, for people
};

/// Volumes and chunks of what was read: of each mounted file system whose places are known.
void add_volumes(const SectorsRead& read, BootRecording& recording);

/// The files of the images' layers that are in the page cache now. An image whose files cannot be
/// seen is left out, with a warning. @throws Error cancelled.
void add_cached_layers(const containerd::Connection& connection, const v1::BakeRecord& record,
                       double seconds, BootRecording& recording);

}  // namespace prebake::hydrate
