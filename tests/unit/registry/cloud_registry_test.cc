#include "agent/registry/cloud_registry.h"

#include <doctest/doctest.h>

#include <string>

namespace prebake::registry {
namespace {

TEST_CASE("hosts of clouds, and the regions of ECR") {
    struct Row {
        std::string host;
        Cloud cloud;
        std::string region = {};
    };
    for (const Row& row : {
             Row{"123456789012.dkr.ecr.eu-west-1.amazonaws.com", Cloud::ecr, "eu-west-1"},
             Row{"123456789012.DKR.ECR.eu-west-1.amazonaws.com", Cloud::ecr, "eu-west-1"},
             Row{"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Cloud::ecr, "cn-north-1"},
             Row{"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Cloud::ecr,
                 "us-gov-west-1"},
             Row{"123456789012.dkr-ecr.us-west-2.on.aws", Cloud::ecr, "us-west-2"},
             Row{"123456789012.dkr-ecr-fips.us-west-2.on.aws", Cloud::ecr, "us-west-2"},
             Row{"123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", Cloud::ecr, "eusc-de-east-1"},
             Row{"public.ecr.aws", Cloud::ecr_public, "us-east-1"},
             Row{"12345678901.dkr.ecr.eu-west-1.amazonaws.com", Cloud::none},
             Row{"1234567890123.dkr.ecr.eu-west-1.amazonaws.com", Cloud::none},
             Row{"123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", Cloud::none},
             Row{"123456789012.dkr.ecr..amazonaws.com", Cloud::none},
             Row{"123456789012.dkr.ecr.--region x.amazonaws.com", Cloud::none},
             Row{"123456789012.dkr.ecr.eu-west-1.amazonaws.com:5000", Cloud::none},
             Row{"europe-docker.pkg.dev", Cloud::google},
             Row{"gcr.io", Cloud::google},
             Row{"eu.gcr.io", Cloud::google},
             Row{"notgcr.io", Cloud::none},
             Row{"team.azurecr.io", Cloud::azure},
             Row{"docker.io", Cloud::none},
             Row{"", Cloud::none},
         }) {
        CAPTURE(row.host);
        CHECK(cloud_registry(row.host) == CloudRegistry{.cloud = row.cloud, .region = row.region});
    }
}

}  // namespace
}  // namespace prebake::registry
