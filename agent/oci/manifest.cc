#include "agent/oci/manifest.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "agent/base/error.h"
#include "agent/oci/json_field.h"
#include "agent/oci/quoted.h"

namespace prebake::oci {
namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
constexpr std::size_t kMaxMediaTypeLength = 255;
/// Of one descriptor. Real ones have a dozen.
constexpr std::size_t kMaxAnnotations = 256;
/// 256 TiB: no blob is as large, and the sum of a manifest's blobs cannot overflow.
constexpr std::uint64_t kMaxBlobBytes = 1ULL << 48;

[[noreturn]] void unsupported_schema1() {
    throw Error(Errc::unsupported,
                "it is a Docker manifest of schema 1, which is no longer supported",
                "push the image again with a current tool");
}

std::uint64_t size_of(const JsonField& field) {
    const std::int64_t size = field.integer();
    // containerd stores no empty blob, and a missing size is 0.
    if (size == 0) field.refuse(field.is_there() ? "is 0" : "is missing");
    if (size < 0) field.refuse("is negative");
    const auto bytes = static_cast<std::uint64_t>(size);
    if (bytes > kMaxBlobBytes) {
        field.refuse("is over 256 TiB, too large for one blob", Errc::too_large);
    }
    return bytes;
}

std::optional<Platform> platform_of(const JsonField& field) {
    field.require_object();
    field.member("os.version").text();
    field.member("os.features").texts();
    Platform platform =
        Platform::normalised(field.member("os").text(), field.member("architecture").text(),
                             field.member("variant").text());
    if (!field.is_there()) return {};
    return platform;
}

/// Refuses a descriptor with a member of another type than containerd reads. That makes the whole
/// document unreadable for containerd, also where the descriptor is not needed.
void require_readable(const JsonField& field) {
    field.require_object();
    for (const char* text : {"mediaType", "digest", "data", "artifactType"}) {
        field.member(text).text();
    }
    field.member("size").integer();
    field.member("urls").texts();
    field.member("annotations").text_map(kUnlimited);
    platform_of(field.member("platform"));
}

Descriptor parse_descriptor(const JsonField& field) {
    require_readable(field);
    const JsonField type = field.member("mediaType");
    std::string media_type = type.text();
    if (media_type.empty()) type.refuse(type.is_there() ? "is empty" : "is missing");
    type.limit("bytes", media_type.size(), kMaxMediaTypeLength);
    return {.media_type = std::move(media_type),
            .digest = field.member("digest").digest(),
            .size = size_of(field.member("size")),
            .annotations = field.member("annotations").text_map(kMaxAnnotations),
            .platform = std::nullopt,
            .artifact_type = field.member("artifactType").text()};
}

std::string_view without_parameters(std::string_view media_type) {
    media_type = media_type.substr(0, media_type.find(';'));
    while (media_type.ends_with(' ')) media_type.remove_suffix(1);
    return media_type;
}

/// The media type decides how a document is parsed. A document that is valid as both could be
/// checked as an index and run as a manifest (CVE-2021-41190).
void require_media_type(std::string_view media_type, MediaKind wanted) {
    const MediaKind kind = media_kind(media_type);
    if (kind == MediaKind::schema1) unsupported_schema1();
    if (kind == wanted) return;
    throw Error(Errc::unsupported,
                "its media type " + quoted(media_type) +
                    (wanted == MediaKind::index ? " is no image index" : " is no image manifest"));
}

/// As containerd's validateMediaType(): Docker's and OCI's name of one kind may stand for each
/// other, but a manifest must not be an index.
void refuse_contradictions(const JsonField& root, std::string_view media_type) {
    if (root.has("fsLayers")) unsupported_schema1();
    root.member("schemaVersion").integer();
    const bool is_index = media_kind(media_type) == MediaKind::index;
    const JsonField own_type = root.member("mediaType");
    if (media_kind(own_type.text()) == (is_index ? MediaKind::manifest : MediaKind::index)) {
        own_type.refuse("is " + quoted(own_type.text()) + ", but the document was announced as " +
                        quoted(media_type));
    }
    if (is_index) {
        for (const char* name : {"config", "layers"}) {
            if (!root.has(name)) continue;
            root.member(name).refuse("belongs to a manifest, but the document was announced as " +
                                     quoted(media_type));
        }
    } else if (root.has("manifests")) {
        root.member("manifests")
            .refuse("belongs to an index, but the document was announced as " + quoted(media_type));
    }
    root.member("annotations").text_map(kUnlimited);
    root.member("artifactType").text();
    require_readable(root.member("subject"));
}

}  // namespace

Manifest parse_manifest(std::string_view media_type, std::string_view json) {
    media_type = without_parameters(media_type);
    require_media_type(media_type, MediaKind::manifest);
    const JsonDocument document(json, kMaxManifestBytes);
    const JsonField root = document.root();
    refuse_contradictions(root, media_type);
    Manifest manifest{.media_type = std::string(media_type),
                      .config = parse_descriptor(root.member("config")),
                      .layers = {}};
    for (const JsonField& layer : root.member("layers").elements(kMaxLayers)) {
        manifest.layers.push_back(parse_descriptor(layer));
    }
    return manifest;
}

Index parse_index(std::string_view media_type, std::string_view json) {
    media_type = without_parameters(media_type);
    require_media_type(media_type, MediaKind::index);
    const JsonDocument document(json, kMaxManifestBytes);
    const JsonField root = document.root();
    refuse_contradictions(root, media_type);
    Index index{.media_type = std::string(media_type), .manifests = {}};
    for (const JsonField& child : root.member("manifests").elements(kMaxIndexEntries)) {
        require_readable(child);
        std::optional<Platform> platform = platform_of(child.member("platform"));
        try {
            Descriptor descriptor = parse_descriptor(child);
            descriptor.platform = std::move(platform);
            index.manifests.push_back(std::move(descriptor));
        } catch (const Error& error) {
            index.unusable.push_back({.platform = std::move(platform), .problem = error});
        }
    }
    return index;
}

std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids) {
    std::vector<Digest> chain;
    chain.reserve(diff_ids.size());
    for (const Digest& diff_id : diff_ids) {
        chain.push_back(chain.empty() ? diff_id
                                      : Digest::of(chain.back().str() + " " + diff_id.str()));
    }
    return chain;
}

}  // namespace prebake::oci
