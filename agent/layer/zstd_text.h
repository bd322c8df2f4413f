#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace prebake::layer {

/// One Zstandard frame, as small as possible: for documents that must fit somewhere.
std::string zstd_compressed(std::string_view text);

/// The contents of one frame that has its size in front, as zstd_compressed() makes it.
/// @throws Error corrupt; too_large if it has more than `limit` bytes.
std::string zstd_decompressed(std::string_view frame, std::size_t limit);

}  // namespace prebake::layer
