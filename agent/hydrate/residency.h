#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "agent/hydrate/file_ranges.h"

/// Which parts of a file are in the page cache. What was read through an overlay is in the cache of
/// the file below it, also what was mapped.
namespace prebake::hydrate {

/// How the kernel is asked.
enum class ResidencyMethod {
    cachestat,  ///< since Linux 6.5. Also knows what was read, and dropped for want of memory
    mincore,    ///< needs root, or a file that the caller owns or may write
};

/// "cachestat" or "mincore".
std::string_view to_string(ResidencyMethod method);

/// The better of the two that works here.
ResidencyMethod residency_method();

/// What of an open regular file is cached, in whole pages. Does not read the file.
/// @throws Error io, permission_denied; unsupported if the kernel does not have the method.
FileRanges cached_ranges(int fd, ResidencyMethod method);

/// Pages of a window of a file (offset and length in bytes) that are cached.
using CountPages = std::function<std::uint64_t(std::uint64_t, std::uint64_t)>;

/// The cached ranges of a file of `size` bytes: asks about the whole file, and about halves of what
/// is neither empty nor full.
FileRanges ranges_by_halves(std::uint64_t size, std::uint64_t page, const CountPages& count);

/// Drops the file from the page cache. What is dirty, and what processes have mapped, stays: sync
/// before. @throws Error io.
void drop_from_cache(int fd);

}  // namespace prebake::hydrate
