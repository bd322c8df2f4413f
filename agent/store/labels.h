#pragma once

#include <map>
#include <string>
#include <string_view>

#include "agent/oci/manifest.h"
#include "agent/oci/reference.h"

/// The labels by which containerd's garbage collector, CRI and other clients find their way. Pure.
namespace prebake::store {

using Labels = std::map<std::string, std::string>;

inline constexpr std::string_view kUncompressedLabel = "containerd.io/uncompressed";
inline constexpr std::string_view kManagedLabel = "io.cri-containerd.image";
inline constexpr std::string_view kPinnedLabel = "io.cri-containerd.pinned";

enum class LayerReferences { keep, drop };

/// References from an index to all its children (fetched or not), as containerd's clients write
/// them.
Labels gc_labels(const oci::Index& index);
/// References from a manifest to its config and, unless dropped, its layers. Layers that nothing
/// refers to are collected once the bake's lease is gone; their snapshots stay.
Labels gc_labels(const oci::Manifest& manifest, LayerReferences layers);
/// The reference from an image config to the snapshot of the top layer.
std::string snapshot_gc_label(std::string_view snapshotter);

/// "containerd.io/distribution.source.<host>"
std::string source_label(const oci::Reference& repository);
/// The value of source_label() once `repository` is added to it: sorted, unique, comma-separated.
/// Stays as it is when it would outgrow containerd's limit of 4096 bytes for key and value.
std::string source_value(std::string_view existing, const oci::Reference& repository);

}  // namespace prebake::store
