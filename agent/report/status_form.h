#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "proto/prebake/v1/node.pb.h"

/// The status in the forms that people and SSM read. Pure.
namespace prebake::report {

/// SSM's combined output ends there (Run Command, ListCommandInvocations).
inline constexpr std::size_t kMaxTextBytes = 2500;
/// GetCommandInvocation returns so much, and does not say when there was more.
inline constexpr std::size_t kMaxJsonBytes = 24'000;
/// node-problem-detector's max_output_length.
inline constexpr std::size_t kMaxBriefBytes = 80;

/// The verdict in the first line, then conditions, the ledger's totals, images with problems, as
/// many as fit; what was left out is counted in the last line.
std::string status_text(const v1::NodeStatus& status, std::chrono::system_clock::time_point now);

/// One line, shorter than kMaxBriefBytes: "ready: 12 images, 96% hits".
std::string status_brief(const v1::NodeStatus& status);

/// One line of JSON, shorter than `limit`: images that are fine go first, then other lists, then
/// texts are cut; `truncated` says so.
std::string status_json(v1::NodeStatus status, std::size_t limit = kMaxJsonBytes);

/// What can be said when the daemon does not run: `last` is what it wrote last (default: nothing),
/// the ledger is the one on disk. The verdict is "unknown", and the message says why, and of when
/// the rest is.
v1::NodeStatus status_of_files(const v1::NodeStatus& last, const v1::Ledger& ledger,
                               const std::string& boot_id, const std::string& why_no_daemon);

}  // namespace prebake::report
