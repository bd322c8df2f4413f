#include "agent/registry/cloud_registry.h"

#include <algorithm>
#include <array>

#include "agent/base/ascii.h"

namespace prebake::registry {
namespace {

constexpr std::size_t kAccountDigits = 12;
/// What follows an account in a host of ECR: "dkr.ecr.", "dkr-ecr-fips.".
constexpr std::array<std::string_view, 4> kServices{"dkr.ecr.", "dkr-ecr.", "dkr.ecr-fips.",
                                                    "dkr-ecr-fips."};
/// What follows the region; one for each partition, and those with IPv6.
constexpr std::array<std::string_view, 9> kDomains{"amazonaws.com",
                                                   "amazonaws.com.cn",
                                                   "amazonaws.eu",
                                                   "on.aws",
                                                   "on.amazonwebservices.com.cn",
                                                   "sc2s.sgov.gov",
                                                   "c2s.ic.gov",
                                                   "cloud.adc-e.uk",
                                                   "csp.hci.ic.gov"};
/// The only region that has its token service.
constexpr const char* kPublicRegion = "us-east-1";

bool is_region(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return is_lower(c) || is_digit(c) || c == '-';
    });
}

std::string_view region_of_ecr(std::string_view host) {
    const std::string_view account = host.substr(0, kAccountDigits);
    if (account.size() < kAccountDigits || !std::all_of(account.begin(), account.end(), is_digit)) {
        return {};
    }
    host.remove_prefix(kAccountDigits);
    if (!host.starts_with('.')) return {};
    host.remove_prefix(1);
    for (const std::string_view service : kServices) {
        if (!host.starts_with(service)) continue;
        const std::string_view rest = host.substr(service.size());
        const std::string_view region = rest.substr(0, rest.find('.'));
        const std::string_view domain = rest.substr(std::min(region.size() + 1, rest.size()));
        const bool is_known = std::find(kDomains.begin(), kDomains.end(), domain) != kDomains.end();
        if (is_known && is_region(region)) return region;
    }
    return {};
}

}  // namespace

CloudRegistry cloud_registry(std::string_view registry) {
    std::string host(registry);
    std::transform(host.begin(), host.end(), host.begin(), to_lower);
    if (const std::string_view region = region_of_ecr(host); !region.empty()) {
        return {.cloud = Cloud::ecr, .region = std::string(region)};
    }
    if (host == "public.ecr.aws" || host == "ecr-public.aws.com") {
        return {.cloud = Cloud::ecr_public, .region = kPublicRegion};
    }
    if (host.ends_with(".pkg.dev") || host == "gcr.io" || host.ends_with(".gcr.io")) {
        return {.cloud = Cloud::google};
    }
    if (host.ends_with(".azurecr.io") || host.ends_with(".azurecr.cn") ||
        host.ends_with(".azurecr.us")) {
        return {.cloud = Cloud::azure};
    }
    return {};
}

}  // namespace prebake::registry
