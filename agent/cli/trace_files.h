#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "agent/bake/image_list.h"
#include "agent/cli/commands.h"
#include "agent/hydrate/trace_merge.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Files with traces (hydrate/trace.h), and what a bake does with them.
namespace prebake::cli {

/// The traces of the requests, in which a file that cannot be used is an error, and those in the
/// directory of the configuration, in which it is left out with a warning.
/// @throws Error usage, with the cause: a file is missing, is no trace, or others can change it.
std::vector<hydrate::NamedTrace> read_trace_files(const Config& config,
                                                  const std::vector<bake::ImageRequest>& requests,
                                                  std::vector<std::string>& warnings);

/// Merges the traces and writes what is about layers of the record, or about file systems of this
/// machine, into the state directory: hydrate::read_traces() reads it. What an earlier bake has
/// kept of images that are not in `baked` (names in the record) stays: their list, which names
/// their traces, is another one. Without any, a file that is there is removed. Returns what of the
/// traces does not count, for people.
/// @throws Error no_space, permission_denied, io.
std::vector<std::string> keep_traces(const std::filesystem::path& state_dir,
                                     const std::vector<hydrate::NamedTrace>& traces,
                                     const v1::BakeRecord& record,
                                     const std::set<std::string>& baked);

/// The name of the file for an image's trace: "docker.io-library-nginx-1.27.json".
std::string trace_file_name(const std::string& image);

}  // namespace prebake::cli
