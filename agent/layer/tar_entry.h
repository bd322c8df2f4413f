#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/layer/tar_numbers.h"

namespace prebake::layer {

/// Type flags of tar headers. There are others, which cannot be unpacked.
namespace tar_type {
inline constexpr char kFile = '0';
inline constexpr char kHardLink = '1';
inline constexpr char kSymlink = '2';
inline constexpr char kCharacterDevice = '3';
inline constexpr char kBlockDevice = '4';
inline constexpr char kDirectory = '5';
inline constexpr char kFifo = '6';
/// PAX records for the rest of the archive. containerd gives them no meaning, but what has the name
/// of such an entry is removed.
inline constexpr char kGlobalHeader = 'g';
}  // namespace tar_type

/// One entry of a tar, after all extensions (PAX, GNU) are applied. Strings are bytes of any kind.
struct TarEntry {
    std::string name;  ///< as in the archive: may be absolute, unclean, empty
    std::string link;  ///< target of a link
    char type = 0;     ///< see tar_type; a file of the V7 format (type NUL) is kFile or kDirectory
    std::int64_t mode = 0;
    std::int64_t uid = 0;  ///< 64 bits in the archive; chown(2) takes the lower 32
    std::int64_t gid = 0;
    /// Of a file's contents, of a sparse file's with its holes. Others have no contents, and may
    /// have any number here.
    std::int64_t size = 0;
    bool is_sparse = false;
    TarTime modified_at;
    TarTime accessed_at;  ///< Go's zero time if the archive does not say
    std::int64_t device_major = 0;
    std::int64_t device_minor = 0;
    /// PAX records SCHILY.xattr.NAME: name and value.
    std::vector<std::pair<std::string, std::string>> xattrs;
};

}  // namespace prebake::layer
