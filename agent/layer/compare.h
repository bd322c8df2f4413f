#pragma once

#include <functional>

#include "agent/base/stream.h"
#include "agent/layer/comparison.h"

namespace prebake::layer {

/// Compares all that the uncompressed layer `tar` makes with a directory, and reads `tar` to its
/// end. Compared are kind, contents, mode, owner, time of modification, targets of links, groups of
/// hard links, device numbers and xattrs; and that the directory has nothing else. Not compared are
/// what the layer does not say (times of whiteouts, and of directories that no entry describes),
/// access times, and attributes that the machine writes (see is_compared_xattr()).
///
/// Memory is a matter of the number of entries: about 20 bytes for each, and 12 more for a hard
/// link. Reads through no link and leaves the directory nowhere. `on_entry` is called before each
/// entry and each file, and may throw to stop.
/// @throws Error corrupt if the layer cannot have been written, or is damaged; io; what `tar`
/// throws.
Comparison compare(Source& tar, const ComparedTree& tree,
                   const std::function<void()>& on_entry = {});

}  // namespace prebake::layer
