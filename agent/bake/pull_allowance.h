#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/bake/plan.h"
#include "agent/registry/rate_limit.h"

namespace prebake::bake {

/// How many pulls a registry allows, and how many a bake needs.
struct PullAllowance {
    std::string registry;
    registry::RateLimit limit;
    std::uint64_t needed = 0;

    bool operator==(const PullAllowance&) const = default;
};

/// For the registries that report a limit, in the order of their names. An image needs one pull if
/// its index or its manifest is not in the store. Pure.
std::vector<PullAllowance> pull_allowances(
    const Plan& plan, const std::map<std::string, registry::RateLimit>& limits);

/// "pulls from docker.io: 3 needed, 76 of 100 left in 6 h 00 min for 203.0.113.7"
std::string describe(const PullAllowance& allowance);

/// What to do if fewer pulls are left than the bake needs; empty if there are enough.
std::string warning_about(const PullAllowance& allowance);

}  // namespace prebake::bake
