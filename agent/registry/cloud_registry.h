#pragma once

#include <string>
#include <string_view>

namespace prebake::registry {

/// Clouds whose registries take short-lived credentials of the machine's role.
enum class Cloud {
    none,
    ecr,         ///< Amazon ECR, private
    ecr_public,  ///< public.ecr.aws, which also serves without credentials
    google,      ///< Artifact Registry, gcr.io
    azure,       ///< Azure Container Registry
};

struct CloudRegistry {
    Cloud cloud = Cloud::none;
    std::string region = {};  ///< of an ECR registry, which may be another one than the machine's

    bool operator==(const CloudRegistry&) const = default;
};

/// By the registry's host; a host with a port belongs to no cloud. Knows ECR's dual-stack and FIPS
/// hosts, and those of its other partitions. Pure.
CloudRegistry cloud_registry(std::string_view registry);

}  // namespace prebake::registry
