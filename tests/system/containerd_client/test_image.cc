#include "tests/system/containerd_client/test_image.h"

#include <archive.h>

#include <utility>

#include "agent/containerd/content.h"
#include "agent/oci/platform.h"
#include "tests/system/containerd_client/daemon_under_test.h"
#include "tests/system/containerd_client/layer_archive.h"

namespace prebake::test {
namespace {

std::string descriptor_json(const oci::Descriptor& descriptor) {
    return R"({"mediaType":")" + descriptor.media_type + R"(","digest":")" +
           descriptor.digest.str() + R"(","size":)" + std::to_string(descriptor.size) + "}";
}

}  // namespace

TestImage test_image() {
    const std::string contents = unique_bytes(5000);
    std::string layer_bytes = tar_of(contents, ARCHIVE_FILTER_GZIP);
    const oci::Digest diff_id = oci::Digest::of(tar_of(contents, ARCHIVE_FILTER_NONE));
    const oci::Descriptor layer =
        blob_of(layer_bytes, "application/vnd.oci.image.layer.v1.tar+gzip");
    const oci::Platform platform = oci::Platform::host();
    std::string config_bytes =
        R"({"os":")" + platform.os + R"(","architecture":")" + platform.architecture +
        R"(","rootfs":{"type":"layers","diff_ids":[")" + diff_id.str() + R"("]}})";
    const oci::Descriptor config =
        blob_of(config_bytes, "application/vnd.oci.image.config.v1+json");
    const std::string type = "application/vnd.oci.image.manifest.v1+json";
    std::string manifest_bytes = R"({"schemaVersion":2,"mediaType":")" + type + R"(","config":)" +
                                 descriptor_json(config) + R"(,"layers":[)" +
                                 descriptor_json(layer) + "]}";
    const oci::Descriptor manifest = blob_of(manifest_bytes, type);
    return {.layer_bytes = std::move(layer_bytes),
            .config_bytes = std::move(config_bytes),
            .manifest_bytes = std::move(manifest_bytes),
            .layer = layer,
            .config = config,
            .manifest = manifest,
            .diff_id = diff_id};
}

void store(const containerd::Connection& connection, const containerd::Scope& scope,
           const TestImage& image) {
    const containerd::Content content(connection, scope);
    const auto put = [&](const oci::Descriptor& blob, const std::string& bytes) {
        content.put(containerd::ingest_ref(blob), blob, bytes, {});
    };
    put(image.layer, image.layer_bytes);
    put(image.config, image.config_bytes);
    put(image.manifest, image.manifest_bytes);
}

}  // namespace prebake::test
