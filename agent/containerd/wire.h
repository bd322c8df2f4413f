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
/// Adds "labels.<key>" for each label: an update with these paths leaves the labels of others.
void add_label_paths(const Labels& labels, google::protobuf::FieldMask& mask);

/// As close as the clock can hold it: what a foreign time stamp says is not trusted to be a time.
std::chrono::system_clock::time_point time_from(const google::protobuf::Timestamp& wire);

/// @throws Error unsupported for a digest that is not sha256, corrupt for one that is none.
oci::Digest digest_from(const std::string& wire);
/// @throws Error like digest_from().
oci::Descriptor descriptor_from(const ::containerd::types::Descriptor& wire);
/// Media type, digest and size; annotations stay behind, containerd has its labels for them.
void descriptor_to(const oci::Descriptor& descriptor, ::containerd::types::Descriptor& wire);

}  // namespace prebake::containerd
