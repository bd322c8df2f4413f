#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/oci/digest.h"
#include "agent/oci/platform.h"

namespace prebake::oci {

/// Larger manifests and indexes are refused: containerd's own limit (4 × 1048 × 1048 bytes).
inline constexpr std::size_t kMaxManifestBytes = 4UL * 1048 * 1048;
/// Larger image configs are refused. Real ones have a few kB; 8 MiB is containerd's read limit.
inline constexpr std::size_t kMaxConfigBytes = 8UL << 20;
/// Overlayfs allows 500 layers, Docker 127.
inline constexpr std::size_t kMaxLayers = 500;
/// Children of one index. Real ones have a few dozen.
inline constexpr std::size_t kMaxIndexEntries = 1000;

/// OCI image-spec, descriptor.md.
struct Descriptor {
    std::string media_type;
    Digest digest;
    std::uint64_t size = 0;  ///< bytes
    std::map<std::string, std::string> annotations;
    std::optional<Platform> platform;  ///< normalised; only children of an index carry one

    bool operator==(const Descriptor&) const = default;
};

enum class MediaKind {
    index,
    manifest,
    config,     ///< of a runnable image
    layer_tar,  ///< uncompressed
    layer_gzip,
    layer_zstd,
    foreign_layer,  ///< non-distributable: fetched from elsewhere
    schema1,        ///< Docker manifest v2 schema 1, refused
    other,
};

/// Kind of an OCI or Docker media type (parameters after ';' are ignored).
MediaKind media_kind(std::string_view media_type);
bool is_layer(MediaKind kind);

/// One image of one platform.
struct Manifest {
    std::string media_type;
    Descriptor config;
    std::vector<Descriptor> layers;
};

struct Index {
    std::string media_type;
    std::vector<Descriptor> manifests;
};

/// The parts of an image config that prebake uses (OCI image-spec, config.md).
struct ImageConfig {
    Platform platform;             ///< normalised
    std::vector<Digest> diff_ids;  ///< of the uncompressed layers, bottom first
};

/// @throws Error corrupt for JSON that is malformed or not a manifest, or whose own mediaType
/// contradicts `media_type`; unsupported for schema 1; too_large over kMaxLayers.
Manifest parse_manifest(std::string_view media_type, std::string_view json);
/// @throws Error like parse_manifest().
Index parse_index(std::string_view media_type, std::string_view json);
/// @throws Error corrupt for malformed JSON or missing fields; unsupported for a rootfs that is not
/// layers.
ImageConfig parse_image_config(std::string_view json);

/// The child of `index` to run on `wanted`: the best platform of runnable_on(), document order
/// among equals, then children without a platform. Attestations (unknown/unknown) never match. Null
/// if none matches.
const Descriptor* select_platform(const Index& index, const Platform& wanted);

/// The platforms of the index, "linux/amd64, linux/arm64", for error messages.
std::string platforms_of(const Index& index);

/// Chain IDs of a stack of layers, bottom first (OCI image-spec, config.md "Layer ChainID"):
/// chain[0] = diff_ids[0]; chain[n] = sha256(chain[n-1] + " " + diff_ids[n]). As long as
/// `diff_ids`.
std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids);

}  // namespace prebake::oci
