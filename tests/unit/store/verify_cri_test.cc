// What verify() says of CRI, for each thing that CRI may say.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/oci/platform.h"
#include "agent/store/verify.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::store::verify_cri_test {

namespace fake = containerd::fake;
using grpc::Status;

const std::string kConfig = "sha256:" + std::string(64, 'c');
const std::string kTag = "docker.io/library/a:1";
constexpr const char* kOtherPlatform = "linux/s390x";

/// An image with one tag, in k8s.io. Only CRI matters here: its content is missing.
v1::BakeRecord record(const std::string& platform, bool was_resolved) {
    v1::BakeRecord record;
    v1::BakedImage& image = *record.add_images();
    image.set_name(kTag);
    image.set_platform(platform);
    image.mutable_target()->set_digest("sha256:" + std::string(64, 'b'));
    image.mutable_manifest()->set_digest(image.target().digest());
    image.mutable_config()->set_digest(kConfig);
    image.mutable_config()->set_media_type("application/vnd.oci.image.config.v1+json");
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_("k8s.io");
    placement.add_names(kConfig);
    placement.add_names(kTag);
    placement.set_cri_resolves(was_resolved);
    return record;
}

struct Scene {
    enum class Cri { absent, fails, is_silent, finds_it, finds_another, finds_nothing };

    explicit Scene(Cri cri) {
        server.introspection.plugins = [](auto&, const auto&, auto&) { return Status::OK; };
        server.images.list = [](auto&, const auto&, auto&) { return Status::OK; };
        server.content.list = [](auto&, const auto&, auto&) { return Status::OK; };
        if (cri == Cri::absent) return;
        server.runtime.version = [cri](auto&, const auto&, auto&) {
            if (cri == Cri::fails) return Status(grpc::StatusCode::UNKNOWN, "not initialized");
            if (cri == Cri::is_silent) return Status(grpc::StatusCode::DEADLINE_EXCEEDED, "");
            return Status::OK;
        };
        server.image_service.list_images = [cri](auto&, const auto&, auto& response) {
            if (cri == Cri::finds_nothing) return Status::OK;
            auto& image = *response.add_images();
            image.set_id(cri == Cri::finds_it ? kConfig : "sha256:another");
            image.add_repo_tags(kTag);
            return Status::OK;
        };
    }
    ~Scene() { server.stop(); }

    Verification verify(const std::string& platform, bool was_resolved,
                        const VerifyOptions& options = {}) {
        const containerd::Connection connection(server.socket(), {});
        return store::verify(record(platform, was_resolved), connection, options);
    }

    fake::Containerd server;
};

TEST_CASE("CRI is asked about every image in k8s.io, and never taken at the builder's word") {
    const std::string host = oci::Platform::host().str();
    // As linux/386 on linux/amd64: this machine could run it, but CRI prefers the other one.
    const std::string also_here = oci::runnable_on(oci::Platform::host()).back().str();
    REQUIRE(also_here != host);
    struct Row {
        const char* name;
        Scene::Cri cri;
        std::string platform;
        bool was_resolved;
        std::size_t unresolved;  ///< names
        std::size_t of_another_platform;
        std::size_t not_asked;  ///< images
        std::size_t failed = 0;
    };
    const std::vector<Row> rows{
        {"found", Scene::Cri::finds_it, host, true, 0, 0, 0},
        {"found, after a bake without CRI", Scene::Cri::finds_it, host, false, 0, 0, 0},
        {"not found", Scene::Cri::finds_nothing, host, true, 2, 0, 0},
        {"not found, after a bake without CRI", Scene::Cri::finds_nothing, host, false, 2, 0, 0},
        {"another image", Scene::Cri::finds_another, host, true, 2, 0, 0},
        {"for another platform", Scene::Cri::finds_nothing, kOtherPlatform, false, 0, 1, 0},
        {"for another platform, and found", Scene::Cri::finds_it, kOtherPlatform, false, 0, 0, 0},
        {"the image of this platform has its names", Scene::Cri::finds_another, kOtherPlatform,
         false, 0, 0, 0},
        {"for another platform, and once resolved", Scene::Cri::finds_nothing, kOtherPlatform, true,
         2, 0, 0},
        {"one that runs here, and found", Scene::Cri::finds_it, also_here, false, 0, 0, 0},
        {"one that runs here, and CRI takes another", Scene::Cri::finds_another, also_here, false,
         0, 1, 0},
        {"CRI fails", Scene::Cri::fails, host, true, 0, 0, 0, 1},
        {"CRI is silent", Scene::Cri::is_silent, host, true, 0, 0, 0, 1},
        {"no CRI", Scene::Cri::absent, host, true, 0, 0, 1},
        {"no CRI, for another platform", Scene::Cri::absent, kOtherPlatform, false, 0, 0, 1},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const Verification found = Scene(row.cri).verify(row.platform, row.was_resolved);
        const auto count = [&](FindingKind kind) {
            std::size_t number = 0;
            for (const Finding& finding : found.findings) {
                if (finding.kind != kind) continue;
                ++number;
                CHECK(finding.check == Check::cri);
                CHECK_FALSE(finding.next_step.empty());
            }
            return number;
        };
        CHECK(count(FindingKind::cri_unresolved) == row.unresolved);
        CHECK(count(FindingKind::cri_other_platform) == row.of_another_platform);
        CHECK(count(FindingKind::unreadable) == row.failed);
        CHECK(found.not_asked == row.not_asked);
        CHECK(found.cri.answers == (row.cri != Scene::Cri::absent && row.failed == 0));
        CHECK(found.cri.has_failed == (row.failed > 0));
        CHECK(found.cri.problem.empty() == found.cri.answers);
    }
}

TEST_CASE("a sandbox image that is neither recorded nor there is a finding") {
    const std::string host = oci::Platform::host().str();
    const auto missing = [&](const VerifyOptions& options) {
        std::size_t number = 0;
        for (const Finding& finding :
             Scene(Scene::Cri::finds_it).verify(host, true, options).findings) {
            const bool is_ours =
                finding.kind == FindingKind::name_missing && finding.image == options.sandbox;
            if (is_ours && finding.next_step == "prebake bake " + options.sandbox) ++number;
        }
        return number;
    };
    CHECK(missing({.sandbox = "registry.k8s.io/pause:3.9"}) == 1);
    CHECK(missing({.namespaces = {"moby"}, .sandbox = "registry.k8s.io/pause:3.9"}) == 0);
    CHECK_MESSAGE(missing({.sandbox = kTag}) == 0, "recorded: it has its own findings");
    CHECK(missing({}) == 0);
}

}  // namespace prebake::store::verify_cri_test
