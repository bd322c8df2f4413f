#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "proto/prebake/v1/hydration.pb.h"

/// Traces: what containers and boots were seen to read. Pure, except for the functions that name a
/// directory.
namespace prebake::hydrate {

/// The first line of the text form: what follows is base64 of a zstd frame with the message.
inline constexpr std::string_view kTraceTextMark = "prebake-trace:v1";

/// Reads a trace, as JSON or in its text form. Each layer, file and volume is in the result once.
/// @throws Error as checked_trace(), with `origin`; unsupported if a later version of prebake wrote
/// it.
v1::ReadTrace parse_trace(std::string_view text, const std::string& origin);

/// The document, in JSON, within_limits().
std::string trace_json(const v1::ReadTrace& trace);

/// The text form, in at most `limit` bytes: files with the lowest score are left out, and counted
/// in omitted_files; then small gaps in volumes are filled. @throws Error too_large if that is not
/// enough.
std::string trace_text(v1::ReadTrace trace, std::size_t limit);

/// What the trace has of these layers, with the images that have one of them, and of the volumes
/// with these UUIDs.
v1::ReadTrace only_about(const v1::ReadTrace& trace, const std::set<std::string>& diff_ids,
                         const std::set<std::string>& uuids);

/// How many files it has, and the bytes of all their ranges.
std::uint64_t traced_files(const v1::ReadTrace& trace);
std::uint64_t traced_bytes(const v1::ReadTrace& trace);

/// What belongs to this machine's baked images, merged; and what a canary recorded while it booted.
std::filesystem::path traces_path(const std::filesystem::path& state_dir);
std::filesystem::path boot_trace_path(const std::filesystem::path& state_dir);

/// Reads traces_path(); empty if there is none. @throws Error as parse_trace(); io; too_large.
v1::ReadTrace read_traces(const std::filesystem::path& state_dir);

/// The same trace, if parse_trace() accepts it. Otherwise ranges are joined, and then the files
/// with the lowest score are left out, until it does.
v1::ReadTrace within_limits(v1::ReadTrace trace);

/// Writes within_limits(); atomic and durable. @throws Error no_space, permission_denied, io.
void write_trace(const std::filesystem::path& path, const v1::ReadTrace& trace);

}  // namespace prebake::hydrate
