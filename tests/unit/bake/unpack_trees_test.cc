// Trees that are written by us, into directories as overlayfs has them. They need root: layers have
// owners.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/bake/unpack.h"
#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "tests/unit/bake/test_image.h"
#include "tests/unit/base/bytes_source.h"
#include "tests/unit/containerd/fake_containerd.h"
#include "tests/unit/layer/tar_builder.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::bake::unpack_trees_test {

namespace fake = containerd::fake;
namespace fs = std::filesystem;
using grpc::Status;
using tests::tar_directory;
using tests::tar_end;
using tests::tar_file;

struct Notices final : EventSink {
    std::mutex mutex;
    std::vector<std::string> texts;
    void on_event(const Event& event) override {
        const std::scoped_lock lock(mutex);
        if (event.kind == EventKind::notice) texts.push_back(event.message);
    }
};

struct Bytes final : LayerBytes {
    std::map<oci::Digest, std::string> layers;
    std::set<oci::Digest> stalled;  ///< they do not arrive
    std::atomic<std::size_t> followed = 0;
    std::unique_ptr<Source> follow(const std::string&, const oci::Descriptor& layer,
                                   const std::stop_token& stop, std::unique_lock<Slots>&) override {
        ++followed;
        while (stalled.contains(layer.digest)) sleep_for(std::chrono::milliseconds(60'000), stop);
        if (stop.stop_requested()) throw Error(Errc::cancelled, "stopped");
        return std::make_unique<tests::BytesSource>(layers.at(layer.digest));
    }
};

/// containerd's part, if it is asked to apply a layer: writes one file, and returns `diff_id`.
struct Applier final : LayerApplier {
    std::size_t calls = 0;
    std::optional<oci::Digest> diff_id;
    oci::Digest apply(const std::string&, const oci::Descriptor&,
                      const std::vector<containerd::Mount>& mounts) override {
        ++calls;
        CHECK(fs::is_empty(mounts.front().source));
        return *diff_id;
    }
};

/// A snapshotter that keeps each snapshot in a directory ID/fs.
class Snapshotter {
  public:
    explicit Snapshotter(fake::Containerd& server) {
        server.snapshots.prepare = [this](auto&, const auto& request, auto& response) {
            return prepare(request, *response.add_mounts());
        };
        server.snapshots.commit = [this](auto&, const auto& request, auto&) {
            const std::scoped_lock lock(mutex);
            committed[request.name()] = active.at(request.key());
            active.erase(request.key());
            return Status::OK;
        };
        server.snapshots.remove = [this](auto&, const auto& request, auto&) {
            const std::scoped_lock lock(mutex);
            fs::remove_all(directory_of(active.at(request.key())));
            active.erase(request.key());
            return Status::OK;
        };
        server.snapshots.usage = [this](auto&, const auto& request, auto& response) {
            const std::scoped_lock lock(mutex);
            const fs::path top = directory_of(active.at(request.key())) / seen_by_containerd;
            response.set_inodes(1 + std::distance(fs::recursive_directory_iterator(top),
                                                  fs::recursive_directory_iterator()));
            return usage_status;
        };
        server.snapshots.stat = [](auto&, const auto&, auto&) { return Status::OK; };
        server.leases.add_resource = [](auto&, const auto&, auto&) { return Status::OK; };
    }

    fs::path tree(const std::string& name) { return directory_of(committed.at(name)) / "fs"; }
    fs::path staging() { return directory_of(active.begin()->second) / "fs"; }
    std::size_t directories() const {
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(root.path()), fs::directory_iterator()));
    }

    std::mutex mutex;
    std::map<std::string, int> active;
    std::map<std::string, int> committed;
    std::set<std::string> committed_by_others;  ///< chain IDs
    std::string seen_by_containerd = "fs";      ///< "other": it has something else at that path
    Status usage_status = Status::OK;
    bool copies_parents = false;  ///< as the native snapshotter: always a bind mount
    TemporaryDirectory root;

  private:
    fs::path directory_of(int id) const { return root.path() / std::to_string(id); }

    template <typename Request, typename Mount>
    Status prepare(const Request& request, Mount& mount) {
        const std::scoped_lock lock(mutex);
        const auto wanted = request.labels().find(containerd::kSnapshotRefLabel);
        if (wanted != request.labels().end() && committed_by_others.contains(wanted->second)) {
            return {grpc::StatusCode::ALREADY_EXISTS, "exists"};
        }
        const int id = ++last_;
        fs::create_directories(directory_of(id) / "fs");
        fs::create_directories(directory_of(id) / "other");
        active[request.key()] = id;
        const std::string own = directory_of(id) / "fs";
        if (request.parent().empty() || copies_parents) {
            mount.set_type("bind");
            mount.set_source(own);
            mount.add_options("rw");
            return Status::OK;
        }
        lowers_[id] = (directory_of(committed.at(request.parent())) / "fs").string();
        const auto below = lowers_.find(committed.at(request.parent()));
        if (below != lowers_.end()) lowers_[id] += ":" + below->second;
        mount.set_type("overlay");
        mount.set_source(own);  // for the applier above
        mount.add_options("upperdir=" + own);
        mount.add_options("lowerdir=" + lowers_[id]);
        return Status::OK;
    }

    int last_ = 0;
    std::map<int, std::string> lowers_;
};

/// An image whose layers are these tars.
ResolvedImage image_of_tars(const std::vector<std::string>& tars) {
    ResolvedImage image = test::image_of("docker.io/library/a:1", tars);
    for (std::size_t i = 0; i < tars.size(); ++i) image.diff_ids[i] = oci::Digest::of(tars[i]);
    return image;
}

struct Scene {
    explicit Scene(const std::vector<std::string>& tars) : image(image_of_tars(tars)) {
        for (const std::string& tar : tars) bytes.layers.emplace(oci::Digest::of(tar), tar);
    }
    ~Scene() { server.stop(); }

    UnpackJob job(std::size_t layer) const {
        return {.image = image, .layer = layer, .ns = ns, .snapshotter = overlayfs};
    }
    std::string chain(std::size_t layer) const { return image.chain_ids[layer].str(); }
    void unpack_all() {
        for (std::size_t i = 0; i < image.chain_ids.size(); ++i) unpacker.ensure(job(i));
    }

    const ResolvedImage image;
    const std::string ns = "k8s.io";
    const std::string overlayfs = "overlayfs";
    fake::Containerd server;
    Snapshotter snapshotter{server};
    containerd::Connection connection{server.socket(), {}};
    store::Storage storage{{}};
    Notices notices;
    LeasedStore store{connection, storage, notices, "lease", OnRestart::fail};
    Applier applier;
    Bytes bytes;
    WorkerPool pool{2};
    Unpacker unpacker{store, bytes, applier, pool, 2, ""};
};

std::string contents(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

const std::vector<std::string> kThree{
    tar_directory("etc", 0750) + tar_file("etc/a", "bottom") + tar_end(),
    tar_file("etc/b", "middle") + tar_end(),
    tar_file("etc/c", "top") + tar_end(),
};

TEST_SUITE("root") {
    TEST_CASE("trees are written side by side, and their snapshots committed in order") {
        if (::geteuid() != 0) {
            MESSAGE("not run: only root");
            return;
        }
        Scene at(kThree);
        std::vector<std::shared_ptr<Unpacker::Ahead>> ahead;
        for (const std::size_t i : {2UL, 1UL, 0UL})
            ahead.push_back(at.unpacker.start(at.job(i), false, {}));
        CHECK_MESSAGE(at.unpacker.start(at.job(1), false, {}) == nullptr, "another image's");
        // What is not begun would be written in its turn.
        while (at.bytes.followed < 3) std::this_thread::yield();
        at.unpack_all();
        for (const auto& each : ahead) at.unpacker.abandon(each);
        const char* const files[] = {"etc/a", "etc/b", "etc/c"};
        const char* const texts[] = {"bottom", "middle", "top"};
        for (std::size_t i = 0; i < 3; ++i) {
            const fs::path tree = at.snapshotter.tree(at.chain(i));
            CHECK(contents(tree / files[i]) == texts[i]);
            struct stat status {};
            REQUIRE(::lstat((tree / "etc").c_str(), &status) == 0);
            CHECK_MESSAGE((status.st_mode & 07777U) == 0750, "as in the layer below");
        }
        CHECK_MESSAGE(at.snapshotter.directories() == 4, "and the staging");
        CHECK(at.snapshotter.active.size() == 1);
        CHECK(fs::is_empty(at.snapshotter.staging()));
        CHECK(at.applier.calls == 0);
        CHECK(at.unpacker.counts().written == 3);
    }

    TEST_CASE("what is not written ahead is written in its turn") {
        Scene at(kThree);
        at.unpack_all();
        CHECK(contents(at.snapshotter.tree(at.chain(2)) / "etc/c") == "top");
        CHECK(at.snapshotter.directories() == 3);
        CHECK(at.unpacker.counts().written == 3);
        CHECK(at.unpacker.ensure(at.job(0)) == UnpackOutcome::already_there);
    }

    TEST_CASE("what was written ahead and is not wanted any more leaves nothing") {
        Scene at(kThree);
        std::stop_source stop;
        const auto first = at.unpacker.start(at.job(1), false, stop.get_token());
        stop.request_stop();
        const auto second = at.unpacker.start(at.job(2), false, stop.get_token());
        at.unpacker.abandon(first);
        at.unpacker.abandon(second);
        CHECK(first.use_count() == 1);
        CHECK(second.use_count() == 1);
        SUBCASE("and it can be started again") {
            CHECK(at.unpacker.start(at.job(2), false, {}) != nullptr);
            at.unpack_all();
            CHECK(contents(at.snapshotter.tree(at.chain(2)) / "etc/c") == "top");
        }
    }

    TEST_CASE("layers that do not arrive do not hold up one that is stored") {
        Scene at(kThree);
        at.bytes.stalled = {at.image.contents.layers[1].digest, at.image.contents.layers[2].digest};
        std::stop_source stop;
        std::vector<std::shared_ptr<Unpacker::Ahead>> ahead;
        for (const std::size_t i : {2UL, 1UL, 0UL}) {
            ahead.push_back(at.unpacker.start(at.job(i), false, stop.get_token()));
        }
        std::size_t committed = 0;
        SUBCASE("that is needed now") {
            committed = 1;
            CHECK(at.unpacker.ensure(at.job(0)) == UnpackOutcome::unpacked);
            CHECK(contents(at.snapshotter.tree(at.chain(0)) / "etc/a") == "bottom");
        }
        SUBCASE("that is not needed any more") {}
        at.unpacker.abandon(ahead.back());
        ahead.pop_back();
        stop.request_stop();
        for (const auto& each : ahead) at.unpacker.abandon(each);
        CHECK(at.snapshotter.committed.size() == committed);
    }

    TEST_CASE("a snapshot that another client made meanwhile counts") {
        Scene at(kThree);
        const auto ahead = at.unpacker.start(at.job(0), true, {});
        at.unpacker.ensure(at.job(0));
        const auto second = at.unpacker.start(at.job(1), false, {});
        at.snapshotter.committed_by_others = {at.chain(1)};
        CHECK(at.unpacker.ensure(at.job(1)) == UnpackOutcome::already_there);
        at.unpacker.abandon(ahead);
        at.unpacker.abandon(second);
        CHECK(at.snapshotter.committed.size() == 1);
    }

    TEST_CASE("a layer that we cannot unpack is left to containerd, on a new snapshot") {
        const std::string odd = tar_file("begun", "x") + "no header" + std::string(600, 'x');
        Scene at({odd});
        at.applier.diff_id = at.image.diff_ids[0];
        const auto ahead = at.unpacker.start(at.job(0), true, {});
        at.unpack_all();
        at.unpacker.abandon(ahead);
        CHECK(at.applier.calls == 1);
        CHECK(at.snapshotter.committed.contains(at.chain(0)));
        CHECK(at.unpacker.counts().applied == 1);
        REQUIRE(at.notices.texts.size() == 1);
        CHECK(at.notices.texts[0].starts_with("prebake cannot unpack layer sha256:"));
        CHECK(at.unpacker.counts().obstacle.starts_with("layer sha256:"));
    }

    TEST_CASE("what was written of a layer that fails takes no space until containerd removes it") {
        const std::string cut = tar_file("begun", "x") + tar_file("a/cut", "yz").substr(0, 513);
        Scene at({cut});
        at.server.snapshots.remove = [](auto&, const auto&, auto&) { return Status::OK; };
        at.applier.diff_id = at.image.diff_ids[0];
        at.unpack_all();
        CHECK(at.applier.calls == 1);
        CHECK(at.snapshotter.directories() == 2);
        for (const auto& [key, id] : at.snapshotter.active) {
            CHECK(fs::is_empty(at.snapshotter.root.path() / std::to_string(id) / "fs"));
        }
    }

    TEST_CASE("a layer for which the disk is too small is named") {
        const std::string huge =
            tests::tar_extension('x', tests::pax_record("size", "9000000000000000000")) +
            tests::TarBlock("huge", '0', 0).str();
        Scene at({huge});
        std::shared_ptr<Unpacker::Ahead> ahead;
        SUBCASE("in its turn") {}
        SUBCASE("ahead") {
            ahead = at.unpacker.start(at.job(0), true, {});
        }
        try {
            at.unpacker.ensure(at.job(0));
            FAIL("it was unpacked");
        } catch (const Error& error) {
            CHECK(error.code() == Errc::no_space);
            CHECK(error.message().starts_with("layer sha256:"));
            CHECK(error.message().find("does not fit") != std::string::npos);
            CHECK(error.message().find("cannot write huge") != std::string::npos);
        }
        if (ahead) at.unpacker.abandon(ahead);
        CHECK(at.snapshotter.committed.empty());
        CHECK(at.applier.calls == 0);
    }

    TEST_CASE("a layer with another diffID is not committed") {
        ResolvedImage other = image_of_tars(kThree);
        Scene at(kThree);
        const_cast<ResolvedImage&>(at.image).diff_ids[0] = oci::Digest::of("something else");
        std::shared_ptr<Unpacker::Ahead> ahead;
        SUBCASE("in its turn") {}
        SUBCASE("ahead") {
            ahead = at.unpacker.start(at.job(0), true, {});
        }
        CHECK_THROWS_AS(at.unpacker.ensure(at.job(0)), Error);
        if (ahead) at.unpacker.abandon(ahead);
        CHECK(at.snapshotter.committed.empty());
        ahead = nullptr;
        CHECK(at.snapshotter.directories() == 0);
        CHECK(at.applier.calls == 0);
    }

    TEST_CASE("a snapshotter that copies the parent is left to containerd") {
        Scene at(kThree);
        at.snapshotter.copies_parents = true;
        const auto ahead = at.unpacker.start(at.job(1), false, {});
        at.unpacker.ensure(at.job(0));
        at.applier.diff_id = at.image.diff_ids[1];
        at.unpacker.ensure(at.job(1));
        at.unpacker.abandon(ahead);
        CHECK(at.applier.calls == 1);
        CHECK(at.unpacker.counts().obstacle == "it is no overlay");
        CHECK_MESSAGE(at.unpacker.start(at.job(2), false, {}) == nullptr, "nothing is tried again");
    }

    TEST_CASE("nothing is written where containerd does not find it") {
        Scene at(kThree);
        at.snapshotter.seen_by_containerd = "other";
        std::string obstacle = "containerd has another directory at ";
        SUBCASE("and what it finds is not known") {
            at.snapshotter.usage_status = {grpc::StatusCode::UNIMPLEMENTED, "no usage"};
            obstacle = "cannot measure the snapshot ";
        }
        std::shared_ptr<Unpacker::Ahead> ahead;
        SUBCASE("its own snapshot, in its turn") {}
        SUBCASE("its own snapshot, ahead") {
            ahead = at.unpacker.start(at.job(0), true, {});
        }
        SUBCASE("the staging") {
            ahead = at.unpacker.start(at.job(1), false, {});
        }
        for (std::size_t i = 0; i < 3; ++i) {
            at.applier.diff_id = at.image.diff_ids[i];
            at.unpacker.ensure(at.job(i));
        }
        if (ahead) at.unpacker.abandon(ahead);
        CHECK_MESSAGE(at.applier.calls == 3, "into empty directories");
        CHECK(at.unpacker.counts().written == 0);
        CHECK(at.unpacker.counts().obstacle.starts_with(obstacle));
    }

    TEST_CASE("a containerd that ends is no reason to leave trees to it") {
        Scene at(kThree);
        at.snapshotter.usage_status = {grpc::StatusCode::UNAVAILABLE, "closing"};
        CHECK_THROWS_AS(at.unpacker.ensure(at.job(0)), Error);
        at.snapshotter.usage_status = Status::OK;
        at.unpack_all();
        CHECK(at.applier.calls == 0);
    }
}

}  // namespace prebake::bake::unpack_trees_test
