#include "agent/bake/pull_allowance.h"

#include <algorithm>

#include "agent/base/format.h"

namespace prebake::bake {
namespace {

bool is_pulled(const PlannedImage& planned) {
    if (!planned.image) return false;
    const auto is_fetched = [](const oci::Document& document) {
        return document.bytes_fetched > 0;
    };
    return is_fetched(planned.image->manifest) ||
           std::ranges::any_of(planned.image->indexes, is_fetched);
}

}  // namespace

std::vector<PullAllowance> pull_allowances(
    const Plan& plan, const std::map<std::string, registry::RateLimit>& limits) {
    std::vector<PullAllowance> allowances;
    for (const auto& [name, limit] : limits) {
        const auto needs_it = [&name = name](const PlannedImage& planned) {
            return planned.request.reference.registry == name && is_pulled(planned);
        };
        const auto needed = std::ranges::count_if(plan.images, needs_it);
        allowances.push_back(
            {.registry = name, .limit = limit, .needed = static_cast<std::uint64_t>(needed)});
    }
    return allowances;
}

std::string describe(const PullAllowance& allowance) {
    const registry::RateLimit& limit = allowance.limit;
    std::string text =
        "pulls from " + allowance.registry + ": " + std::to_string(allowance.needed) + " needed, " +
        std::to_string(limit.remaining) + " of " + std::to_string(limit.limit) + " left";
    if (limit.window) text += " in " + format_duration(*limit.window);
    if (!limit.source.empty()) text += " for " + limit.source;
    return text;
}

std::string warning_about(const PullAllowance& allowance) {
    if (allowance.needed <= allowance.limit.remaining) return {};
    return allowance.registry + " allows " + std::to_string(allowance.limit.remaining) +
           " more pulls now, and the bake needs " + std::to_string(allowance.needed) +
           ": log in, which many registries reward with a higher limit (docker login " +
           allowance.registry + ", or --authfile FILE), or bake again later, which continues";
}

}  // namespace prebake::bake
