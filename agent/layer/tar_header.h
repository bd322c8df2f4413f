#pragma once

#include <cstddef>
#include <string_view>

#include "agent/layer/tar_entry.h"

namespace prebake::layer {

inline constexpr std::size_t kTarBlock = 512;

/// Which fields a header has beyond those of Unix V7, by its magic.
enum class TarFormat { v7, ustar, gnu, star };

/// Puts the fields of a header block into `entry`; all that the block does not say gets its
/// default.
/// @throws Error corrupt if the checksum or a number is wrong. (Sun's tar summed signed bytes:
/// either sum will do.)
TarFormat parse_tar_header(std::string_view block, TarEntry& entry);

/// The size of a sparse file in the old format of GNU tar. @throws Error corrupt.
std::int64_t old_sparse_size(std::string_view block);

/// True for types without contents, whatever size their header has.
bool has_no_contents(char type);

}  // namespace prebake::layer
