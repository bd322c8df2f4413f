#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/oci/manifest.h"
#include "agent/oci/reference.h"

/// The labels that containerd's garbage collector, CRI and other clients read. Pure.
namespace prebake::store {

using Labels = std::map<std::string, std::string>;

inline constexpr std::string_view kUncompressedLabel = "containerd.io/uncompressed";
inline constexpr std::string_view kManagedLabel = "io.cri-containerd.image";
inline constexpr std::string_view kPinnedLabel = "io.cri-containerd.pinned";

enum class LayerReferences { keep, drop };

/// References from an index to all its children (fetched or not), as containerd's clients write
/// them.
Labels gc_labels(const oci::Index& index);
/// References from a manifest to its config and, unless dropped, to its layers. Layers without a
/// reference are collected when the bake's lease is gone; their snapshots stay.
Labels gc_labels(const oci::Manifest& manifest, LayerReferences layers);
/// References from an image's target to manifests that refer to it, such as signatures. The keys
/// are those of containerd 2.2, which has each referrer once.
Labels referrer_gc_labels(const std::vector<oci::Digest>& referrers);
/// The reference from an image config to the snapshot of the top layer.
std::string snapshot_gc_label(std::string_view snapshotter);

/// "containerd.io/distribution.source.<host>"
std::string source_label(const oci::Reference& repository);
/// The value of source_label() with `repository` added: sorted, unique, comma-separated. Unchanged
/// if key and value would exceed containerd's limit of 4096 bytes.
std::string source_value(std::string_view existing, const oci::Reference& repository);
/// The distribution.source labels of a blob that has the labels `held`, with the repositories
/// added. One label per registry host.
Labels source_labels(const Labels& held, const std::vector<oci::Reference>& repositories);

/// Those of `wanted` that `held` does not have with this value. An empty value stands for no label.
Labels missing_labels(const Labels& held, const Labels& wanted);

}  // namespace prebake::store
