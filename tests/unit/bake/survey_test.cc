#include "agent/bake/survey.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/memory_containerd.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"
#include "tests/unit/store/baked_into.h"

namespace prebake::bake::survey_test {

using containerd::fake::MemoryContainerd;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using registry::Step;
using tests::contains;
using tests::thrown_by;

const std::string kCri(store::kCriNamespace);
const std::string kName = "reg.example/app:1";

ImageRequest request_for(const std::string& name) {
    return {.reference = oci::Reference::parse(name),
            .platform = oci::Platform::host(),
            .namespaces = {kCri},
            .aliases = {},
            .origin = "test"};
}

/// The registry's response about a tag of reg.example/app.
Step is(const v1::BakedImage& image, const std::string& tag) {
    return {.method = http::Method::head,
            .url = "https://reg.example/v2/app/manifests/" + tag,
            .headers = {{"Content-Type", image.target().media_type()},
                        {"Docker-Content-Digest", image.target().digest()}},
            .length = image.target().size()};
}
/// HEAD may be refused alone, so it is asked for again with GET.
Step is_not_there(const std::string& tag, http::Method method = http::Method::head) {
    return {.method = method, .url = "https://reg.example/v2/app/manifests/" + tag, .status = 404};
}

/// A containerd that has kName in k8s.io, baked, and a registry.
struct Fixture {
    trust::Policy policy = {};
    MemoryContainerd containerd;
    containerd::Connection connection{containerd.socket(), {}};
    const v1::BakedImage baked = store::test::bake_into(containerd, kName);
    const oci::Digest target = oci::Digest::parse(baked.target().digest());

    /// One image after the other, in the order of the script.
    Survey run(const std::vector<ImageRequest>& requests, std::vector<Step> script,
               const std::string& snapshotter = {}) const {
        registry::Remote remote(std::make_shared<registry::ScriptedHttp>(std::move(script)),
                                registry::FixedCredentials::none(), registry::RetryOptions{});
        return survey(requests, snapshotter, remote, connection, {.policy = policy}, nullptr, 1);
    }
};

TEST_CASE("of an image that is baked nothing has to be fetched") {
    const Fixture at;
    const Survey found = at.run({request_for(kName)}, {is(at.baked, "1")});
    REQUIRE(found.plan.images.size() == 1);
    const PlannedImage& planned = found.plan.images[0];
    REQUIRE(planned.image);
    CHECK(planned.image->target.digest == at.target);
    CHECK(planned.unpacked);
    CHECK(planned.bytes_present == planned.compressed_bytes);
    CHECK(found.plan.bytes_to_fetch == 0);
    CHECK(found.plan.least_snapshot_bytes == 0);
    CHECK(found.present.has_blob(planned.request, at.target));
    CHECK(found.snapshotters == store::Snapshotters{{kCri, "overlayfs"}});
    CHECK(found.containerd_version == "2.0.0");
    CHECK_MESSAGE(!found.free_space, "containerd's directories are not visible");
}

TEST_CASE("a document that is damaged in the store counts as not there") {
    Fixture at;
    const std::string config = at.baked.config().digest();
    const auto bytes = store::stored_bytes(
        at.connection, {kCri}, store::descriptor_of(at.baked.config()), oci::kMaxConfigBytes);
    REQUIRE(bytes);
    at.containerd.damage_blob(kCri, config);
    const Survey found = at.run(
        {request_for(kName)},
        {is(at.baked, "1"), {.url = "https://reg.example/v2/app/blobs/" + config, .body = *bytes}});
    REQUIRE(found.plan.images[0].image);
    CHECK(found.plan.images[0].image->config.bytes_fetched > 0);
    CHECK_FALSE(found.present.has_blob(found.plan.images[0].request, oci::Digest::parse(config)));
    CHECK(found.present.has_blob(found.plan.images[0].request, at.target));
    CHECK(found.plan.bytes_to_fetch == at.baked.config().size());
}

TEST_CASE("a sandbox image that is there is adopted, whatever the registry has") {
    Fixture at;
    ImageRequest sandbox = request_for(kName);
    sandbox.is_sandbox = true;
    const Survey found = at.run({sandbox}, {});
    REQUIRE(found.plan.images[0].image);
    CHECK(found.plan.images[0].image->target.digest == at.target);
    CHECK(found.plan.bytes_to_fetch == 0);
    CHECK(found.plan.images[0].image->request.keep_layers);

    // CRI may discard the layers of what it unpacked.
    at.containerd.remove_blob(kCri, at.baked.layers(0).digest());
    const Survey unpacked = at.run({sandbox}, {});
    CHECK(unpacked.plan.bytes_to_fetch == 0);
    CHECK_FALSE(unpacked.plan.images[0].image->request.keep_layers);
}

TEST_CASE("a sandbox image that is not there comes from the registry, or the problem says so") {
    const Fixture at;
    ImageRequest sandbox = request_for("reg.example/app:2");
    sandbox.is_sandbox = true;
    CHECK(at.run({sandbox}, {is(at.baked, "2")}).plan.images[0].image);
    const Survey without =
        at.run({sandbox}, {is_not_there("2"), is_not_there("2", http::Method::get)});
    REQUIRE(without.plan.images[0].problem);
    CHECK(contains(without.plan.images[0].problem->next_step(), "sandbox = \"never\""));
}

TEST_CASE("a survey changes nothing, and lists a namespace once") {
    const Fixture at;
    const std::size_t lists = at.containerd.calls("Images.List");
    at.run({request_for(kName), request_for("reg.example/app:2")},
           {is(at.baked, "1"), is(at.baked, "2")});
    CHECK(at.containerd.calls("Images.List") == lists + 1);
    CHECK(at.containerd.calls("Images.Create") + at.containerd.calls("Images.Update") == 0);
}

TEST_CASE("an image that the registry does not have is a problem of this image only") {
    const Fixture at;
    const Survey found =
        at.run({request_for("reg.example/app:2"), request_for(kName)},
               {is_not_there("2"), is_not_there("2", http::Method::get), is(at.baked, "1")});
    REQUIRE(found.plan.images.size() == 2);
    const PlannedImage& missing = found.plan.images[0];
    CHECK_FALSE(missing.image);
    REQUIRE(missing.problem);
    CHECK(missing.problem->code() == Errc::not_found);
    CHECK(missing.request.reference.tag == "2");
    CHECK(found.plan.images[1].image);
    CHECK_FALSE(found.plan.images[1].problem);
}

TEST_CASE("an image whose namespace cannot be listed is a problem, not the end") {
    Fixture at;
    at.containerd.intercept([](ServerContext&, const std::string& method) {
        return method == "Snapshots.List" ? Status(StatusCode::INTERNAL, "broken") : Status::OK;
    });
    const Survey found = at.run({request_for(kName)}, {is(at.baked, "1")});
    REQUIRE(found.plan.images[0].problem);
    CHECK(contains(found.plan.images[0].problem->message(), "broken"));
    CHECK_FALSE(found.plan.images[0].image);
}

TEST_CASE("two images that want one name are problems, and two names of one image are not") {
    Fixture at;
    ImageRequest second = request_for("reg.example/app:2");
    second.aliases = {oci::Reference::parse(kName)};
    const Survey same =
        at.run({request_for(kName), second}, {is(at.baked, "1"), is(at.baked, "2")});
    CHECK_FALSE(same.plan.images[0].problem);
    CHECK_FALSE(same.plan.images[1].problem);

    const v1::BakedImage other = store::test::bake_into(at.containerd, "reg.example/app:2");
    const Survey found = at.run({request_for(kName), second}, {is(at.baked, "1"), is(other, "2")});
    for (const PlannedImage& planned : found.plan.images) {
        REQUIRE(planned.problem);
        CHECK(planned.problem->code() == Errc::usage);
        CHECK(contains(planned.problem->message(), "its name " + kName));
    }
}

TEST_CASE("the snapshotter of the command counts, and must work") {
    const Fixture at;
    const Error unknown = thrown_by([&] { at.run({request_for(kName)}, {}, "zfs"); });
    CHECK(unknown.code() == Errc::usage);
    CHECK(contains(unknown.message(), "zfs"));
    CHECK(contains(unknown.next_step(), "overlayfs"));

    ImageRequest packed = request_for(kName);
    packed.unpack = false;
    const Survey found = at.run({packed}, {is(at.baked, "1")}, "zfs");
    CHECK_MESSAGE(found.snapshotters.empty(), "nothing is unpacked");
}

TEST_CASE("without containerd there is no survey") {
    Fixture at;
    at.containerd.stop();
    CHECK(thrown_by([&] { at.run({request_for(kName)}, {}); }).code() == Errc::unavailable);
}

}  // namespace prebake::bake::survey_test
