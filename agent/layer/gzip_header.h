#pragma once

#include "agent/layer/read_ahead.h"

namespace prebake::layer {

enum class GzipMember { begins, none };

inline constexpr const char* kGzipMember = "gzip member";

/// Takes the header of the next member of a gzip stream (RFC 1952, 2.3). `none` if the stream ends
/// here. Accepts what Go's compress/gzip accepts, which containerd uses: names and comments of up
/// to 511 bytes, any reserved flag, and a header checksum only if it is right.
/// @throws Error corrupt if anything else follows.
GzipMember take_gzip_header(ReadAhead& from);

}  // namespace prebake::layer
