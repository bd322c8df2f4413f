// Snapshots and Diff.Apply: from a stored layer to a snapshot.

#include <archive.h>

#include <chrono>
#include <set>

#include "agent/containerd/content.h"
#include "agent/containerd/diff.h"
#include "agent/containerd/snapshots.h"
#include "tests/system/containerd_client/daemon_under_test.h"
#include "tests/system/containerd_client/layer_archive.h"

namespace prebake::containerd {
namespace {

using test::blob_of;
using test::error_from;
using test::tar_of;
using test::TestNamespace;
using test::unique_bytes;

constexpr const char* kGzipLayer = "application/vnd.oci.image.layer.v1.tar+gzip";

struct Unpacking : TestNamespace {
    Content content{connection(), scope()};
    Snapshots snapshots{connection(), scope(), "overlayfs"};
    Diff diff{connection(), scope()};

    /// The mounts of a new active snapshot.
    std::vector<Mount> prepared(const std::string& key, const std::string& parent = {}) const {
        auto mounts = snapshots.prepare(key, parent, {});
        REQUIRE(mounts);
        return *std::move(mounts);
    }
};

TEST_CASE("a layer of each kind is unpacked and its diffID returned") {
    struct Row {
        const char* media_type;
        int filter;
    };
    const Row rows[] = {
        {"application/vnd.oci.image.layer.v1.tar", ARCHIVE_FILTER_NONE},
        {kGzipLayer, ARCHIVE_FILTER_GZIP},
        {"application/vnd.oci.image.layer.v1.tar+zstd", ARCHIVE_FILTER_ZSTD},
        {"application/vnd.docker.image.rootfs.diff.tar", ARCHIVE_FILTER_NONE},
        {"application/vnd.docker.image.rootfs.diff.tar.gzip", ARCHIVE_FILTER_GZIP},
        {"application/vnd.docker.image.rootfs.diff.tar.zstd", ARCHIVE_FILTER_ZSTD},
    };
    const Unpacking at;
    std::string parent;
    for (const Row& row : rows) {
        CAPTURE(row.media_type);
        const std::string contents = unique_bytes(300000);
        const std::string bytes = tar_of(contents, row.filter);
        const auto layer = blob_of(bytes, row.media_type);
        at.content.put(ingest_ref(layer), layer, bytes, {});
        const auto mounts = at.prepared("extract", parent);
        const oci::Digest diff_id = at.diff.apply(layer, mounts);
        CHECK(diff_id == oci::Digest::of(tar_of(contents, ARCHIVE_FILTER_NONE)));
        CHECK(at.snapshots.commit(diff_id.str(), "extract", {{"test/label", "x"}}) ==
              CommitOutcome::committed);

        const auto info = at.snapshots.stat(diff_id.str());
        REQUIRE(info);
        CHECK(info->kind == SnapshotKind::committed);
        CHECK(info->parent == parent);
        CHECK(info->labels == Labels{{"test/label", "x"}});
        const auto usage = at.snapshots.usage(diff_id.str());
        CHECK(usage.bytes >= contents.size());
        CHECK(usage.bytes < 2 * contents.size());
        CHECK(usage.inodes >= 1);
        parent = diff_id.str();
    }
}

TEST_CASE("prepare() distinguishes an existing layer from an existing key") {
    const Unpacking at;
    at.prepared("first");
    CHECK(at.snapshots.commit("done", "first", {}) == CommitOutcome::committed);
    at.prepared("taken");

    const Labels done{{"containerd.io/snapshot.ref", "done"}};
    const Labels other{{"containerd.io/snapshot.ref", "other"}};
    CHECK_FALSE(at.snapshots.prepare("second", "", done));
    CHECK_FALSE(at.snapshots.stat("second"));
    error_from(Errc::conflict, [&] { at.snapshots.prepare("taken", "", {}); });
    error_from(Errc::conflict, [&] { at.snapshots.prepare("taken", "", other); });
}

TEST_CASE("a snapshot that was committed meanwhile is left for the caller to remove") {
    const Unpacking at;
    at.prepared("first");
    at.prepared("second");
    CHECK(at.snapshots.commit("name", "first", {}) == CommitOutcome::committed);
    CHECK(at.snapshots.commit("name", "second", {}) == CommitOutcome::already_there);
    const auto second = at.snapshots.stat("second");
    REQUIRE(second);
    CHECK(second->kind == SnapshotKind::active);
    at.snapshots.remove("second");
    at.snapshots.remove("second");
    CHECK_FALSE(at.snapshots.stat("second"));
}

TEST_CASE("snapshots are listed by namespace and snapshotter") {
    const Unpacking other;
    other.prepared("elsewhere");
    const Unpacking at;
    Snapshots(at.connection(), at.scope(), "native").prepare("in another snapshotter", "", {});
    const auto before = std::chrono::system_clock::now() - std::chrono::seconds(1);
    at.prepared("key");
    CHECK(at.snapshots.commit("bottom", "key", {{"test/label", "x"}}) == CommitOutcome::committed);
    // containerd sends them in messages of at most 100.
    std::set<std::string> expected{"bottom"};
    for (int i = 0; i < 120; ++i) {
        at.prepared("child " + std::to_string(i), "bottom");
        expected.insert("child " + std::to_string(i));
    }
    std::set<std::string> found;
    for (const SnapshotInfo& info : at.snapshots.list()) {
        CAPTURE(info.name);
        CHECK(found.insert(info.name).second);
        CHECK(info.kind ==
              (info.name == "bottom" ? SnapshotKind::committed : SnapshotKind::active));
        CHECK(info.parent == (info.name == "bottom" ? "" : "bottom"));
        CHECK(info.labels == (info.name == "bottom" ? Labels{{"test/label", "x"}} : Labels{}));
        CHECK(info.created_at > before);
        CHECK(info.created_at < before + std::chrono::minutes(2));
        const auto same = at.snapshots.stat(info.name);
        REQUIRE(same);
        CHECK(same->created_at == info.created_at);
    }
    CHECK(found == expected);
    error_from(Errc::not_found, [&] { Snapshots(at.connection(), at.scope(), "nosuch").list(); });
}

TEST_CASE("errors of snapshots") {
    const Unpacking at;
    error_from(Errc::not_found, [&] { at.snapshots.prepare("key", "no parent", {}); });
    error_from(Errc::not_found, [&] { at.snapshots.commit("name", "no key", {}); });
    error_from(Errc::not_found, [&] { at.snapshots.usage("no name"); });
    CHECK_FALSE(at.snapshots.stat("no name"));
    at.prepared("parent key");
    at.snapshots.commit("parent", "parent key", {});
    at.prepared("child", "parent");
    error_from(Errc::failed_precondition, [&] { at.snapshots.remove("parent"); });

    const Snapshots unknown(at.connection(), at.scope(), "nosuch");
    const auto message = error_from(Errc::not_found, [&] { unknown.prepare("key", "", {}); });
    CHECK(message.find("'nosuch'") != std::string::npos);
    error_from(Errc::not_found, [&] { unknown.stat("key"); });

    const Scope no_lease{.ns = at.scope().ns, .lease = "gone"};
    error_from(Errc::not_found,
               [&] { Snapshots(at.connection(), no_lease, "overlayfs").prepare("key", "", {}); });
}

TEST_CASE("layers that cannot be unpacked") {
    const Unpacking at;
    const std::string good = tar_of(unique_bytes(300000), ARCHIVE_FILTER_GZIP);
    struct Row {
        const char* name;
        std::string bytes;
        const char* media_type;
        Errc code;
    };
    const Row rows[] = {
        {"cut off", good.substr(0, good.size() / 2), kGzipLayer, Errc::corrupt},
        {"no tar", unique_bytes(100000), "application/vnd.oci.image.layer.v1.tar", Errc::corrupt},
        {"unknown type", good + "x", "application/vnd.example.layer", Errc::unsupported},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const auto layer = blob_of(row.bytes, row.media_type);
        at.content.put("bad", layer, row.bytes, {});
        const auto mounts = at.prepared(row.name);
        const auto message = error_from(row.code, [&] { at.diff.apply(layer, mounts); });
        CHECK(message.find(layer.digest.str()) != std::string::npos);
        at.snapshots.remove(row.name);
    }
    const auto mounts = at.prepared("missing");
    error_from(Errc::not_found, [&] { at.diff.apply(blob_of("missing", kGzipLayer), mounts); });
}

}  // namespace
}  // namespace prebake::containerd
