#pragma once

#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/map.h>
#include <google/protobuf/timestamp.pb.h>

#include <chrono>
#include <string>

#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"
#include "proto/containerd/types.pb.h"

namespace prebake::containerd {

using LabelMap = google::protobuf::Map<std::string, std::string>;

Labels labels_from(const LabelMap& wire);
void labels_to(const Labels& labels, LabelMap& wire);
/// Adds "labels.<key>" for each label: an update with these paths keeps all other labels.
void add_label_paths(const Labels& labels, google::protobuf::FieldMask& mask);

/// The nearest time that the clock can represent: foreign time stamps may be out of range.
std::chrono::system_clock::time_point time_from(const google::protobuf::Timestamp& wire);

/// @throws Error unsupported for a digest that is not sha256, corrupt for other texts.
oci::Digest digest_from(const std::string& wire);
/// @throws Error like digest_from().
oci::Descriptor descriptor_from(const ::containerd::types::Descriptor& wire);
/// Sets media type, digest and size. Annotations are not copied: containerd uses labels for them.
void descriptor_to(const oci::Descriptor& descriptor, ::containerd::types::Descriptor& wire);

}  // namespace prebake::containerd
