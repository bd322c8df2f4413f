#include "agent/bake/unpack.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/bake/test_image.h"
#include "tests/unit/base/bytes_source.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::bake::unpack_test {

namespace fake = containerd::fake;
using grpc::Status;
using Names = std::vector<std::string>;

/// What was reported: kind, snapshot, bytes.
struct Reports final : EventSink {
    Names lines;
    void on_event(const Event& event) override {
        lines.push_back(std::string(to_string(event.kind)) + " " + event.snapshot + " " +
                        std::to_string(event.current) + "/" + std::to_string(event.total));
    }
};

/// Applies nothing, and reports which diffID that would have had.
struct FakeApplier final : LayerApplier {
    Names applied;
    oci::Digest diff_id = oci::Digest::of("diff base");

    oci::Digest apply(const std::string&, const oci::Descriptor& layer,
                      const std::vector<containerd::Mount>&) override {
        applied.push_back(layer.digest.str());
        return diff_id;
    }
};

/// Layers by their digest.
struct StoredLayers final : LayerBytes {
    std::map<oci::Digest, std::string> layers;
    std::unique_ptr<Source> follow(const std::string&, const oci::Descriptor& layer,
                                   const std::stop_token&, std::unique_lock<Slots>&) override {
        return std::make_unique<tests::BytesSource>(layers.at(layer.digest));
    }
};

/// A containerd whose snapshotter has a cache of layers, as that of 2.4: Prepare of a cached layer
/// returns read-only mounts.
struct Scene {
    Scene() {
        server.snapshots.prepare = [this](auto&, const auto& request, auto& response) {
            if (committed_by_others.contains(request.labels().at(containerd::kSnapshotRefLabel))) {
                return Status(grpc::StatusCode::ALREADY_EXISTS, "exists");
            }
            labels = {request.labels().begin(), request.labels().end()};
            parent = request.parent();
            auto& mount = *response.add_mounts();
            mount.set_type("bind");
            mount.add_options(cached.contains(labels[containerd::kDiffIdLabel]) ? "ro" : "rw");
            return Status::OK;
        };
        server.snapshots.stat = [](auto&, const auto&, auto&) { return Status::OK; };
        server.leases.add_resource = [](auto&, const auto&, auto&) { return Status::OK; };
        server.snapshots.commit = [this](auto&, const auto& request, auto&) {
            committed.push_back(request.name());
            return Status::OK;
        };
        server.snapshots.remove = [this](auto&, const auto&, auto&) {
            ++removed;
            return Status::OK;
        };
    }
    ~Scene() { server.stop(); }

    UnpackJob job(std::size_t layer) const {
        return {.image = image, .layer = layer, .ns = ns, .snapshotter = snapshotter};
    }
    void unpack(std::size_t layer) { unpacker.ensure(job(layer)); }

    const std::string ns = "k8s.io";
    const std::string snapshotter = "erofs";

    const ResolvedImage image = test::image_of("docker.io/library/a:1", {"base", "top"});
    std::map<std::string, std::string> labels;  ///< of the last Prepare
    std::string parent;
    std::set<std::string> cached;               ///< diffIDs
    std::set<std::string> committed_by_others;  ///< chain IDs
    Names committed;
    int removed = 0;
    fake::Containerd server;
    containerd::Connection connection{server.socket(), {}};
    store::Storage storage{{}};
    Reports events;
    LeasedStore store{connection, storage, events, "lease", OnRestart::fail};
    FakeApplier applier;
    StoredLayers bytes;
    WorkerPool pool{2};
    Unpacker unpacker{store, bytes, applier, pool, 2, ""};
};

TEST_CASE("a layer is applied to its prepared snapshot, which is then committed") {
    Scene at;
    at.unpack(0);
    CHECK(at.applier.applied == Names{at.image.contents.layers[0].digest.str()});
    CHECK(at.committed == Names{at.image.chain_ids[0].str()});
    CHECK(at.removed == 0);
    CHECK(at.labels.at(containerd::kSnapshotRefLabel) == at.image.chain_ids[0].str());
    CHECK(at.labels.at(containerd::kDiffIdLabel) == at.image.diff_ids[0].str());
    CHECK_FALSE(at.labels.contains(containerd::kParentLabel));
}

TEST_CASE("a snapshot that the snapshotter filled from its cache is committed as it is") {
    Scene at;
    at.cached = {at.image.diff_ids[1].str()};
    at.unpack(0);
    at.unpack(1);
    CHECK(at.applier.applied == Names{at.image.contents.layers[0].digest.str()});
    CHECK(at.committed == Names{at.image.chain_ids[0].str(), at.image.chain_ids[1].str()});
    CHECK(at.parent == at.image.chain_ids[0].str());
    CHECK(at.labels.at(containerd::kParentLabel) == at.image.chain_ids[0].str());
    CHECK(at.removed == 0);
}

TEST_CASE("a snapshot that another client made counts as unpacked") {
    Scene at;
    at.committed_by_others = {at.image.chain_ids[0].str()};
    at.applier.diff_id = at.image.diff_ids[1];
    at.unpack(0);
    at.unpack(1);
    at.unpack(1);
    const std::string base = snapshot_id("k8s.io", at.image.chain_ids[0]);
    const std::string top = snapshot_id("k8s.io", at.image.chain_ids[1]);
    CHECK(at.events.lines == Names{"unpacked " + base + " 0/4", "unpacking " + top + " 0/3",
                                   "unpacked " + top + " 3/3", "unpacked " + top + " 0/3"});
}

TEST_CASE("a layer with another diffID is not committed, and its snapshot is removed") {
    Scene at;
    at.applier.diff_id = oci::Digest::of("something else");
    CHECK_THROWS_AS(at.unpack(0), Error);
    CHECK(at.committed.empty());
    CHECK(at.removed == 1);
}

}  // namespace prebake::bake::unpack_test
