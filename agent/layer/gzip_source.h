#pragma once

#include <memory>

#include "agent/base/stream.h"
#include "agent/layer/read_ahead.h"

namespace prebake::layer {

/// The uncompressed bytes of all members of a gzip stream (RFC 1952), one after another. The
/// stream may also be empty. CRC and length of each member are checked, and nothing may follow the
/// last one: no zeros either. containerd treats it the same way.
/// read() throws Error corrupt; then the source must not be read any more.
std::unique_ptr<Source> gunzipped(ReadAhead compressed);

}  // namespace prebake::layer
