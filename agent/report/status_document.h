#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "agent/guard/activity_log.h"
#include "agent/guard/protected_images.h"
#include "agent/report/conditions.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::report {

/// What the status is made of.
struct StatusFacts {
    const NodeFacts& node;
    const std::vector<v1::Condition>& conditions;
    const Verdict& verdict;
    const guard::ProtectedImages& images;
    const v1::Ledger& ledger;  ///< ledger::Accounts::report()
    const guard::ActivityLog& log;
    const v1::Times& times;
    std::function<std::uint64_t(const guard::ImageHealth&)> starts;
    std::string containerd_version;
    std::string boot_id;
    std::string prebake_version;
    std::chrono::system_clock::time_point now = {};
};

/// The status with all images, those with problems first. Pure.
v1::NodeStatus status_document(const StatusFacts& facts);

/// usable, repaired, moved, evicted, unusable or other_platform.
std::string state_of(const guard::ImageHealth& image);

}  // namespace prebake::report
