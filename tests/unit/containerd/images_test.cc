#include "agent/containerd/images.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::containerd::images_test {

using grpc::Status;
using grpc::StatusCode;
using tests::thrown_by;

const oci::Digest kTarget = oci::Digest::of("a manifest");

Image image() {
    return {.name = "nginx",
            .labels = {{"new", "1"}, {"old", ""}},
            .target = {.media_type = "application/vnd.oci.image.manifest.v1+json",
                       .digest = kTarget,
                       .size = 10,
                       .annotations = {},
                       .platform = {}}};
}

/// A containerd with at most one image.
struct Fixture {
    bool exists = false;
    int removals = 0;  ///< how often another client removes the image before an update
    int creations = 0;
    fake::images::CreateImageRequest created = {};
    fake::images::UpdateImageRequest updated = {};
    fake::Containerd server;
    Connection connection{server.socket(), {}};
    Images images{connection, {.ns = "ns", .lease = {}}};

    Fixture() {
        server.images.create = [this](auto&, const auto& request, auto&) {
            ++creations;
            if (exists) return Status(StatusCode::ALREADY_EXISTS, "");
            created = request;
            return Status::OK;
        };
        server.images.update = [this](auto&, const auto& request, auto&) {
            updated = request;
            if (!exists || removals-- > 0) return Status(StatusCode::NOT_FOUND, "");
            return Status::OK;
        };
    }
    ~Fixture() { server.stop(); }
};

std::vector<std::string> paths(const fake::images::UpdateImageRequest& request) {
    return {request.update_mask().paths().begin(), request.update_mask().paths().end()};
}

TEST_CASE("put() creates an image without the labels to delete") {
    Fixture at;
    at.images.put(image());
    CHECK(at.created.image().name() == "nginx");
    CHECK(at.created.image().target().digest() == kTarget.str());
    CHECK(at.created.image().labels_size() == 1);
    CHECK(at.created.image().labels().at("new") == "1");
}

TEST_CASE("put() changes the target and the named labels of an existing image") {
    Fixture at;
    at.exists = true;
    at.images.put(image());
    CHECK(at.updated.image().target().digest() == kTarget.str());
    CHECK(paths(at.updated) == std::vector<std::string>{"target", "labels.new", "labels.old"});
    CHECK(at.updated.image().labels().at("old").empty());
}

TEST_CASE("put() retries if another client removes the image, but not forever") {
    Fixture at;
    at.exists = true;
    SUBCASE("once") {
        at.removals = 1;
        CHECK_NOTHROW(at.images.put(image()));
        CHECK(at.creations == 2);
    }
    SUBCASE("always") {
        at.removals = 1000;
        CHECK(thrown_by([&] { at.images.put(image()); }).code() == Errc::conflict);
        CHECK(at.creations == 5);
    }
}

TEST_CASE("set_labels() changes only labels, and only of an existing image") {
    Fixture at;
    CHECK_FALSE(at.images.set_labels("nginx", {{"a", "1"}}));
    at.exists = true;
    CHECK(at.images.set_labels("nginx", {{"a", "1"}}));
    CHECK(paths(at.updated) == std::vector<std::string>{"labels.a"});
    // containerd crashes without it.
    CHECK(at.updated.image().has_target());
}

TEST_CASE("an image with a target of another algorithm is not listed") {
    Fixture at;
    std::string digest = "sha512:" + std::string(128, 'a');
    at.server.images.list = [&](auto&, const auto&, auto& response) {
        for (const std::string& target : {kTarget.str(), digest}) {
            auto& wire = *response.add_images();
            wire.set_name(target);
            wire.mutable_target()->set_digest(target);
        }
        return Status::OK;
    };
    REQUIRE(at.images.list().size() == 1);
    CHECK(at.images.list()[0].name == kTarget.str());
    digest = "nonsense";
    CHECK(thrown_by([&] { at.images.list(); }).code() == Errc::corrupt);
}

TEST_CASE("an image that does not exist") {
    Fixture at;
    at.server.images.get = [](auto&, const auto&, auto&) {
        return Status(StatusCode::NOT_FOUND, "");
    };
    at.server.images.remove = [](auto&, const auto&, auto&) {
        return Status(StatusCode::NOT_FOUND, "");
    };
    CHECK_FALSE(at.images.get("nginx"));
    CHECK_NOTHROW(at.images.remove("nginx"));
}

}  // namespace prebake::containerd::images_test
