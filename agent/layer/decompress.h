#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "agent/base/stream.h"

namespace prebake::layer {

/// How a layer's bytes are compressed.
enum class Compression { none, gzip, zstd };

/// compression_of() needs this many bytes, or all if there are fewer.
inline constexpr std::size_t kCompressionMagicBytes = 8;

/// What the first bytes of a layer say. This is how containerd decides: the media type does not
/// count. (Except for tar_of_layer().)
Compression compression_of(std::span<const std::byte> beginning);

struct DecompressionLimits {
    /// How many compressed bytes are read at a time, at least kCompressionMagicBytes. More than 64
    /// KiB gains nothing.
    std::size_t read_ahead = 128UL << 10;
    /// The window of a zstd frame is at most 2 to this power bytes; a larger one is refused with
    /// too_large. containerd's limit is 29. A window uses memory only for as many bytes as the
    /// frame really has, whatever it declares.
    int zstd_window_log = 29;
};

/// The uncompressed bytes of `compressed`, which must live longer.
///
/// Bytes and verdict are the same as containerd's. Read to the end: the checksums come last. The
/// size of reads hardly matters: 512 bytes a time cost 5 % more than 128 KiB.
/// @throws Error, here and from read(): corrupt for damaged or truncated bytes, or bytes that
///         follow; too_large and unsupported for some zstd frames; and what `compressed` throws.
///         After that, the source must not be read any more.
std::unique_ptr<Source> decompressed(Source& compressed, const DecompressionLimits& limits = {});

/// The tar in a layer that is stored as `stored`, which must live longer. As decompressed(), but
/// containerd takes the media type `application/vnd.oci.image.layer.v1.tar` for a tar as it is; and
/// windows of zstd are at most 32 MiB, because that fits into the memory of a bake. Only `zstd
/// --ultra` and `--long` make larger ones.
std::unique_ptr<Source> tar_of_layer(Source& stored, std::string_view media_type);

}  // namespace prebake::layer
