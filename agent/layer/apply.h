#pragma once

#include <functional>

#include "agent/base/stream.h"
#include "agent/layer/tree_writer.h"

namespace prebake::layer {

/// Writes all entries of the uncompressed layer `tar` into `tree`, and reads `tar` to its end, also
/// behind the end of the archive: the diffID is over all bytes. finish() is the caller's next step.
/// `on_entry` is called before each entry, and may throw to stop.
/// @throws Error corrupt, unsupported; no_space, permission_denied, io; what `tar` throws.
void apply(Source& tar, TreeWriter& tree, const std::function<void()>& on_entry = {});

}  // namespace prebake::layer
