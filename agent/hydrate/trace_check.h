#pragma once

#include <cstddef>

#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

inline constexpr const char* kTraceSchema = "prebake.v1.ReadTrace";
inline constexpr const char* kRecordAgain = "record it again, or remove it";

// Limits of what a trace may say. An image of 100,000 files of which all are read is below them.
inline constexpr std::size_t kMaxTracedImages = 1000;
inline constexpr std::size_t kMaxTracedLayers = 10'000;
inline constexpr std::size_t kMaxTracedVolumes = 64;
inline constexpr std::size_t kMaxTracedFiles = 200'000;
inline constexpr std::size_t kMaxTracedRanges = 500'000;  ///< of all files; also of all volumes
inline constexpr std::size_t kMaxTracedPathBytes = 4095;

/// The trace with each layer, file and volume once, if what it says is possible. Layers and files
/// that do not exist on this machine are harmless, and stay.
/// @throws Error corrupt, naming the layer and the file, for ranges that no file has and for paths
/// that are absolute or have ".."; too_large over the limits above.
v1::ReadTrace checked_trace(const v1::ReadTrace& trace);

}  // namespace prebake::hydrate
