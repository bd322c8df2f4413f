#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "proto/prebake/v1/node.pb.h"

/// The status in the formats for people and SSM. Pure.
namespace prebake::report {

/// SSM truncates combined output here (Run Command, ListCommandInvocations).
inline constexpr std::size_t kMaxTextBytes = 2500;
/// GetCommandInvocation returns at most this much, and does not report that it truncated.
inline constexpr std::size_t kMaxJsonBytes = 24'000;
/// node-problem-detector's max_output_length.
inline constexpr std::size_t kMaxBriefBytes = 80;

/// The verdict in the first line, then the totals of the ledger, conditions and images with
/// problems, as many as fit. The last line counts what was omitted.
std::string status_text(const v1::NodeStatus& status, std::chrono::system_clock::time_point now);

/// One line, shorter than kMaxBriefBytes: "ready: 12 images, 96% hits".
std::string status_brief(const v1::NodeStatus& status);

/// One line of JSON, shorter than `limit`. To fit, it drops images without problems first, then
/// entries of other lists, then shortens texts; `truncated` reports missing images.
std::string status_json(v1::NodeStatus status, std::size_t limit = kMaxJsonBytes);

/// The status while the daemon does not run: `last` is the last status that it wrote (may be
/// empty), `ledger` is the ledger on the disk. The verdict is "unknown"; the message has the reason
/// and the time of `last`.
v1::NodeStatus status_of_files(const v1::NodeStatus& last, const v1::Ledger& ledger,
                               const std::string& boot_id, const std::string& why_no_daemon);

}  // namespace prebake::report
