#pragma once

#include <memory>

#include "agent/base/stream.h"
#include "agent/layer/read_ahead.h"

namespace prebake::layer {

/// The first bytes of a frame say what it is. A Zstandard frame has four of them.
inline constexpr std::size_t kZstdMagicBytes = 4;
enum class ZstdFrame { zstandard, skippable, other };
ZstdFrame zstd_frame_of(std::span<const std::byte> beginning);

/// The uncompressed bytes of all frames of a Zstandard stream (RFC 8878), one after another,
/// without skippable frames. Content sizes and checksums, where frames have them, are checked.
/// Nothing may follow the last frame. containerd treats it the same way.
///
/// A frame may refer to bytes up to 2^`max_window_log` before, and that much memory is used when
/// it has so many bytes.
/// read() throws Error corrupt, too_large if a frame declares a larger window, unsupported if it
/// needs a dictionary; then the source must not be read any more.
std::unique_ptr<Source> unzstd(ReadAhead compressed, int max_window_log);

}  // namespace prebake::layer
