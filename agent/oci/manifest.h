#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
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
    std::string artifact_type = {};    ///< what it is, if it is no image: a signature, an SBOM

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

/// A child of an index that containerd could not fetch: without a size, with a sha512 digest.
struct UnusableChild {
    std::optional<Platform> platform;  ///< normalised
    Error problem;
};

struct Index {
    std::string media_type;
    std::vector<Descriptor> manifests;
    std::vector<UnusableChild> unusable = {};  ///< no harm to the other children
};

/// The parts of an image config that prebake uses (OCI image-spec, config.md).
struct ImageConfig {
    /// Normalised. The architecture is empty if the config has none.
    Platform platform;
    std::vector<Digest> diff_ids;  ///< of the uncompressed layers, bottom first
};

// Documents are read as containerd reads them (json_field.h), so a document that it can use is
// never refused, except beyond the limits above. Errors name the field, its line and its column.

/// Docker's and OCI's media type of a manifest stand for each other.
/// @throws Error corrupt for JSON that is malformed or that containerd cannot read as a manifest,
/// and for a document that is an index, too; unsupported for schema 1; too_large over kMaxLayers.
Manifest parse_manifest(std::string_view media_type, std::string_view json);
/// @throws Error like parse_manifest().
Index parse_index(std::string_view media_type, std::string_view json);
/// What is absent is empty. @throws Error corrupt for JSON that is malformed or that containerd
/// cannot read as an image config; too_large.
ImageConfig parse_image_config(std::string_view json);

/// The child of `index` to run on `wanted` of those with a platform: the best of runnable_on(),
/// document order among equals. Attestations (unknown/unknown) never match. Null if none matches.
/// @throws Error if the child that matches is unusable.
const Descriptor* select_declared(const Index& index, const Platform& wanted);
/// The children without a platform that may be images, in document order.
std::vector<const Descriptor*> undeclared_children(const Index& index);
/// The child that containerd selects: the one of select_declared(), else the first of
/// undeclared_children(). Null also if that child is unusable.
const Descriptor* select_platform(const Index& index, const Platform& wanted);

/// The platforms of the index, without duplicates, for error messages.
std::vector<std::string> platforms_of(const Index& index);
/// "linux/amd64, linux/arm64", at most a few dozen; "none".
std::string list_platforms(const std::vector<std::string>& platforms);

/// Chain IDs of a stack of layers, bottom first (OCI image-spec, config.md "Layer ChainID"):
/// chain[0] = diff_ids[0]; chain[n] = sha256(chain[n-1] + " " + diff_ids[n]). As long as
/// `diff_ids`.
std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids);

}  // namespace prebake::oci
