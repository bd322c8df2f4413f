#include "agent/bake/image_baker.h"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/bake/fake_store.h"
#include "tests/unit/bake/test_image.h"
#include "tests/unit/bake/whole_content.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/memory_containerd.h"

namespace prebake::bake::image_baker_test {

using containerd::fake::MemoryContainerd;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using test::FakeLayers;
using test::FakeStore;
using test::Notices;
using tests::thrown_by;

using Names = std::set<std::string>;

const std::string kCri(store::kCriNamespace);
const std::string kName = "docker.io/library/app:1";

/// An image without layers: what it is made of is not the subject.
ResolvedImage image_in(const std::vector<std::string>& namespaces) {
    return test::image_of(kName, {}, namespaces);
}

/// The images of these tests have no layers.
struct NoBytes final : LayerBytes {
    std::unique_ptr<Source> follow(const std::string&, const oci::Descriptor&,
                                   const std::stop_token&, std::unique_lock<Slots>&) override {
        throw Error(Errc::not_found, "no layers");
    }
};

/// Bakes into a containerd with CRI. The content store is not containerd's, but another fake.
struct Fixture {
    MemoryContainerd containerd;
    containerd::Connection connection{containerd.socket(), {}};
    Notices notices;
    store::Storage storage{{}};
    LeasedStore store{connection, storage, notices, "lease", OnRestart::resume};
    store::Snapshotters snapshotters;
    PresentContent present;
    store::NameSet pinned;
    store::NameSet shared_ids;
    FakeStore content;
    FakeLayers layers;
    WorkerPool downloads{1};
    DiffServiceApplier applier{store};
    NoBytes bytes;
    WorkerPool unpacks{1};
    Unpacker unpacker{store, bytes, applier, unpacks, 1, "it is a test"};

    const ResolvedImage image = image_in({kCri});
    const ResolvedImage incomplete = test::image_of("docker.io/library/other:1", {"lost"});
    const std::string config = image.config.descriptor.digest.str();
    const std::string by_digest = "docker.io/library/app@" + image.target.digest.str();

    std::mutex mutex;
    Names asked;                    ///< of CRI
    std::optional<Status> refusal;  ///< of CRI

    Fixture() {
        containerd.server().runtime.version = [](auto&, const auto&, auto&) { return Status::OK; };
        containerd.server().image_service.image_status = [this](auto&, const auto& request,
                                                                auto& response) {
            const std::scoped_lock lock(mutex);
            asked.insert(request.image().image());
            if (refusal) return *refusal;
            response.mutable_image()->set_id(config);
            return Status::OK;
        };
    }

    ImageChanges bake(const ResolvedImage& what, MovedNames moved = MovedNames::point_here) {
        return bake_after([](ImageBaker& /*baker*/) {}, what, moved);
    }
    /// Runs `before` in the same bake.
    ImageChanges bake_after(const std::function<void(ImageBaker&)>& before,
                            const ResolvedImage& what, MovedNames moved = MovedNames::point_here) {
        BlobRepositories repositories;
        for (const ResolvedImage& of : {what, incomplete}) add_repository(repositories, of);
        BlobFetcher fetcher(content, layers, notices, repositories);
        ImageBaker baker(store,
                         {.snapshotters = snapshotters,
                          .present = present,
                          .repositories = repositories,
                          .pinned = pinned,
                          .shared_ids = shared_ids,
                          .moved_names = moved},
                         downloads, fetcher, unpacker);
        before(baker);
        ImageChanges changes;
        baker.bake(what, changes);
        return changes;
    }
    /// Another client named another image so.
    std::string name_other(const std::string& name) {
        const oci::Descriptor other = test::blob_of("another manifest", "type");
        containerd.add_image(kCri, {.name = name, .labels = {}, .target = other});
        return other.digest.str();
    }
};

TEST_CASE("an image in k8s.io gets CRI's names, and CRI is asked for every spelling") {
    Fixture at;
    at.pinned = {{kCri, kName}};
    const ImageChanges changes = at.bake(at.image);
    CHECK(changes.changed);
    CHECK(changes.cri_resolves);
    CHECK(at.containerd.names(kCri) == Names{at.config, at.by_digest, kName});
    for (const std::string& name : at.containerd.names(kCri)) {
        CAPTURE(name);
        const store::Pin pin = name == kName ? store::Pin::yes : store::Pin::no;
        CHECK(at.containerd.target(kCri, name) == at.image.target.digest.str());
        // A label to delete is not created.
        CHECK(store::missing_labels(at.containerd.labels(kCri, name), store::name_labels(kCri, pin))
                  .empty());
        CHECK(at.containerd.labels(kCri, name).contains(std::string(store::kPinnedLabel)) ==
              (pin == store::Pin::yes));
    }
    CHECK(at.asked.contains("app:1"));
    CHECK(at.asked.contains(kName + "@" + at.image.target.digest.str()));
}

TEST_CASE("an image that has its names and labels is left as it is") {
    Fixture at;
    at.bake(at.image);
    const ImageChanges again = at.bake(at.image);
    CHECK_FALSE(again.changed);
    CHECK_MESSAGE(again.cri_resolves, "CRI is asked again");
    CHECK(at.containerd.calls("Images.Create") == 3);
    CHECK(at.containerd.calls("Images.Update") == 0);
    at.pinned = {{kCri, kName}};
    CHECK(at.bake(at.image).changed);
    CHECK(at.containerd.calls("Images.Update") == 1);
    CHECK(at.containerd.labels(kCri, kName) == store::name_labels(kCri, store::Pin::yes));
}

/// Of `image`, all is in k8s.io, and nothing of it in Fixture::content: a bake that asked for it
/// there would store it.
struct WholeImage : Fixture {
    const ResolvedImage whole = test::image_of(kName, {"one", "two"});

    WholeImage() {
        snapshotters = {{kCri, "overlayfs"}};
        present = test::whole_content(whole, snapshotters);
        for (const std::string& name : names_in(kCri, whole)) {
            containerd.add_image(kCri, {.name = name,
                                        .labels = {{std::string(store::kManagedLabel), "managed"}},
                                        .target = whole.target});
        }
        containerd.server().image_service.image_status = [this](auto&, const auto& request,
                                                                auto& response) {
            const std::scoped_lock lock(mutex);
            asked.insert(request.image().image());
            response.mutable_image()->set_id(whole.config.descriptor.digest.str());
            return Status::OK;
        };
    }
};

TEST_CASE("an image that is whole is left alone: only its names and CRI are asked about") {
    WholeImage at;
    const ImageChanges changes = at.bake(at.whole);
    CHECK_FALSE(changes.changed);
    CHECK(changes.cri_resolves);
    CHECK_FALSE(at.asked.empty());
    CHECK(at.content.blobs.empty());
    CHECK(at.layers.opened.empty());
    CHECK(at.containerd.calls("Images.Get") == 3);
    for (const char* call : {"Snapshots.Prepare", "Snapshots.Stat", "Leases.AddResource",
                             "Images.Create", "Images.Update"}) {
        CAPTURE(call);
        CHECK(at.containerd.calls(call) == 0);
    }
}

TEST_CASE("an image of which a name is missing or a document was fetched is stored again") {
    WholeImage at;
    ResolvedImage image = at.whole;
    // Its layers cannot be had, so the bake fails where it would store them.
    SUBCASE("a name of another image") {
        at.name_other(kName);
    }
    SUBCASE("a pin") {
        at.pinned = {{kCri, kName}};
    }
    SUBCASE("a document") {
        image.config.bytes_fetched = 1;
    }
    SUBCASE("a snapshot") {
        at.present.snapshots.clear();
    }
    CHECK(thrown_by([&] { at.bake(image); }).code() == Errc::not_found);
}

TEST_CASE("an image is not trusted to be whole after a blob was removed in the same bake") {
    WholeImage at;
    at.content.add(kCri, "lost");
    at.content.lose_file("lost");
    const auto fail = [&](ImageBaker& baker) {
        ImageChanges changes;
        CHECK(thrown_by([&] { baker.bake(at.incomplete, changes); }).code() == Errc::not_found);
    };
    CHECK(thrown_by([&] { at.bake_after(fail, at.whole); }).code() == Errc::not_found);
    REQUIRE(at.content.removed.size() == 1);
}

TEST_CASE("a name is written again if what it says of its target differs in more than spelling") {
    Fixture at;
    at.bake(at.image);
    oci::Descriptor target = at.image.target;
    const auto bake_over = [&] {
        at.containerd.add_image(
            kCri, {.name = kName, .labels = at.containerd.labels(kCri, kName), .target = target});
        return at.bake(at.image).changed;
    };
    REQUIRE(target.media_type == "application/vnd.oci.image.manifest.v1+json");
    target.media_type = "application/vnd.docker.distribution.manifest.v2+json";
    CHECK_FALSE(bake_over());
    ++target.size;
    CHECK(bake_over());
    target.size = at.image.target.size;
    target.media_type = "application/vnd.oci.image.index.v1+json";
    CHECK(bake_over());
}

TEST_CASE("the signatures of an image are stored, and what its names point at refers to them") {
    Fixture at;
    ResolvedImage signed_image = at.image;
    const std::string payload = "a payload";
    const oci::Descriptor blob = test::blob_of(payload, "application/x");
    const std::string object = R"({"schemaVersion":2,"config":{"mediaType":"application/x",)"
                               R"("digest":")" +
                               oci::Digest::of("{}").str() +
                               R"(","size":2},"layers":[{"mediaType":"application/x","digest":")" +
                               blob.digest.str() + R"(","size":9}]})";
    const oci::Descriptor manifest =
        test::blob_of(object, "application/vnd.oci.image.manifest.v1+json");
    signed_image.proofs.push_back(
        {.key = "sha256:k",
         .key_file = "k.pub",
         .form = "cosign",
         .manifest = {.descriptor = manifest, .bytes = object, .bytes_fetched = object.size()},
         .blob = {.descriptor = blob, .bytes = payload, .bytes_fetched = 9}});
    const ImageChanges changes = at.bake(signed_image);
    CHECK(changes.bytes_fetched == object.size() + 9);
    CHECK(at.content.has(kCri, payload));
    REQUIRE(at.content.has(kCri, object));
    // "application/x" is no layer of an image.
    CHECK(at.content.labels(kCri, object).at("containerd.io/gc.ref.content.1") ==
          blob.digest.str());
    const store::Labels labels = at.content.labels(kCri, at.image.manifest.bytes);
    CHECK(labels.at("containerd.io/gc.ref.content.referrer.sha256." +
                    manifest.digest.hex().substr(0, 12)) == manifest.digest.str());
    // Without a rule, the next bake leaves them where they are.
    at.bake(at.image);
    CHECK(at.content.labels(kCri, at.image.manifest.bytes) == labels);
}

TEST_CASE("an image in another namespace gets its tag only, and CRI is not asked") {
    Fixture at;
    const ImageChanges changes = at.bake(image_in({"moby"}));
    CHECK(changes.changed);
    CHECK_FALSE(changes.cri_resolves);
    CHECK(at.containerd.names("moby") == Names{kName});
    CHECK(at.containerd.labels("moby", kName).empty());
    CHECK(at.containerd.names(kCri).empty());
    CHECK(at.asked.empty());
}

TEST_CASE("a bake moves a name that points at another image") {
    Fixture at;
    at.name_other(kName);
    CHECK(at.bake(at.image).changed);
    CHECK(at.containerd.target(kCri, kName) == at.image.target.digest.str());
}

TEST_CASE("a repair leaves a name that points at another image") {
    Fixture at;
    const std::string other = at.name_other(kName);
    const ImageChanges changes = at.bake(at.image, MovedNames::leave);
    CHECK(changes.cri_resolves);
    CHECK(at.containerd.target(kCri, kName) == other);
    CHECK(at.containerd.names(kCri) == Names{at.config, at.by_digest, kName});
    CHECK_FALSE_MESSAGE(at.asked.contains(kName), "CRI has the other image");
    CHECK(at.asked.contains(at.by_digest));
}

TEST_CASE("new names that CRI does not resolve are removed, and old ones stay") {
    Fixture at;
    at.name_other(kName);
    at.refusal = Status(StatusCode::FAILED_PRECONDITION, "not in this CRI");
    CHECK(thrown_by([&] { at.bake(at.image); }).code() == Errc::failed_precondition);
    CHECK(at.containerd.names(kCri) == Names{kName});
}

TEST_CASE("a name by image ID stays at another manifest with this config") {
    Fixture at;
    at.containerd.server().runtime.version = {};
    const std::string config =
        R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}})";
    ResolvedImage image = at.image;
    image.config = {.descriptor = test::blob_of(config, image.config.descriptor.media_type),
                    .bytes = config};
    image.contents.config = image.config.descriptor;
    const std::string id = image.config.descriptor.digest.str();
    const std::string other = R"({"config":{"mediaType":")" + image.config.descriptor.media_type +
                              R"(","digest":")" + id + R"(","size":)" +
                              std::to_string(config.size()) + R"(},"layers":[]})";
    const oci::Descriptor manifest = test::blob_of(other, image.target.media_type);
    at.containerd.add_blob(kCri, config);
    at.containerd.add_image(kCri, {.name = id, .labels = {}, .target = manifest});

    SUBCASE("that is there") {
        at.containerd.add_blob(kCri, other);
        CHECK(at.bake(image).changed);
        CHECK(at.containerd.target(kCri, id) == manifest.digest.str());
        CHECK(at.containerd.labels(kCri, id).contains(std::string(store::kManagedLabel)));
        CHECK_FALSE(at.bake(image).changed);
    }
    SUBCASE("but not if that manifest is gone") {
        CHECK(at.bake(image).changed);
        CHECK(at.containerd.target(kCri, id) == image.target.digest.str());
    }
}

TEST_CASE("an image that CRI does not resolve leaves the image ID to the others that have it") {
    Fixture at;
    at.shared_ids = {{kCri, at.config}};
    at.refusal = Status(StatusCode::FAILED_PRECONDITION, "not in this CRI");
    CHECK(thrown_by([&] { at.bake(at.image); }).code() == Errc::failed_precondition);
    CHECK(at.containerd.names(kCri) == Names{at.config});
}

TEST_CASE("after another failure of CRI the names stay, for a retry") {
    Fixture at;
    at.refusal = Status(StatusCode::DEADLINE_EXCEEDED, "slow");
    CHECK(thrown_by([&] { at.bake(at.image); }).code() == Errc::timed_out);
    CHECK(at.containerd.names(kCri).size() == 3);
}

TEST_CASE("without CRI the names are written") {
    Fixture at;
    at.containerd.server().runtime.version = {};
    const ImageChanges changes = at.bake(at.image);
    CHECK(changes.changed);
    CHECK_FALSE(changes.cri_resolves);
    CHECK(at.containerd.names(kCri).size() == 3);
    CHECK(at.asked.empty());
}

TEST_CASE("containerd that goes away between two names does not fail the bake") {
    std::atomic<int> creations = 0;
    Fixture at;
    at.containerd.intercept([&](ServerContext&, const std::string& method) {
        const bool fails = method == "Images.Create" && ++creations == 2;
        return fails ? Status(StatusCode::UNAVAILABLE, "restarting") : Status::OK;
    });
    CHECK(at.bake(at.image).changed);
    CHECK(at.containerd.names(kCri).size() == 3);
    CHECK(at.notices.texts ==
          std::vector<std::string>{"containerd stopped answering; waiting for it to return"});
}

TEST_CASE("a name that was written by a call without a response is still a new name") {
    std::atomic<int> creations = 0;
    Fixture at;
    auto& create = at.containerd.server().images.create;
    create = [&, original = create](auto& context, const auto& request, auto& response) {
        const Status status = original(context, request, response);
        return ++creations == 3 ? Status(StatusCode::UNAVAILABLE, "restarting") : status;
    };
    at.refusal = Status(StatusCode::FAILED_PRECONDITION, "not in this CRI");
    CHECK(thrown_by([&] { at.bake(at.image); }).code() == Errc::failed_precondition);
    CHECK(at.containerd.calls("Images.Create") == 3);
    CHECK(at.containerd.names(kCri).empty());
}

}  // namespace prebake::bake::image_baker_test
