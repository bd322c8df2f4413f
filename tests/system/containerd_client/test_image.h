#pragma once

#include <string>

#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"

namespace prebake::test {

/// An image of one gzip layer, for this machine's platform; no other test has the same.
struct TestImage {
    std::string layer_bytes;
    std::string config_bytes;
    std::string manifest_bytes;
    oci::Descriptor layer;
    oci::Descriptor config;
    oci::Descriptor manifest;
    oci::Digest diff_id;  ///< also the chain ID, because there is one layer
};
TestImage test_image();

/// Stores its blobs without labels; the scope's lease protects them.
void store(const containerd::Connection& connection, const containerd::Scope& scope,
           const TestImage& image);

}  // namespace prebake::test
