#include "agent/containerd/snapshots.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/containerd/leases.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::containerd::snapshots_test {

using grpc::Status;
using grpc::StatusCode;
using tests::contains;
using tests::thrown_by;

const Labels kRef = {{kSnapshotRefLabel, "chain"}};

struct Fixture {
    std::vector<Status> prepare;  ///< one for each call, the last one for all further ones
    int calls = 0;
    std::string known;  ///< the one snapshot that exists
    std::vector<std::string> leased = {};
    fake::Containerd server;
    Connection connection{server.socket(), {}};
    Snapshots snapshots{connection, {.ns = "ns", .lease = "lease"}, "overlayfs"};

    Fixture() {
        server.snapshots.prepare = [this](auto&, const auto& request, auto& response) {
            const auto at = std::min(static_cast<std::size_t>(calls++), prepare.size() - 1);
            if (!prepare[at].ok()) return prepare[at];
            auto& mount = *response.add_mounts();
            mount.set_type("bind");
            mount.set_source("/" + request.snapshotter() + "/" + request.key());
            mount.add_options("rw");
            return Status::OK;
        };
        server.snapshots.stat = [this](auto&, const auto& request, auto& response) {
            if (request.key() != known) return Status(StatusCode::NOT_FOUND, "");
            response.mutable_info()->set_name(known);
            response.mutable_info()->set_kind(fake::snapshots::COMMITTED);
            return Status::OK;
        };
        server.leases.add_resource = [this](auto&, const auto& request, auto&) {
            leased.push_back(request.id() + " " + request.resource().type() + " " +
                             request.resource().id());
            return Status::OK;
        };
        server.introspection.plugins = [](auto&, const auto&, auto& response) {
            auto& good = *response.add_plugins();
            good.set_type("io.containerd.snapshotter.v1");
            good.set_id("overlayfs");
            auto& bad = *response.add_plugins();
            bad.set_type("io.containerd.snapshotter.v1");
            bad.set_id("zfs");
            bad.mutable_init_err()->set_message("no zfs here");
            return Status::OK;
        };
    }
    ~Fixture() { server.stop(); }
};

TEST_CASE("a snapshot is staged if the last of its mounts is read-only") {
    struct Row {
        const char* name;
        std::vector<Mount> mounts;
        bool expected;
    };
    const auto mount = [](const char* type, std::vector<std::string> options) {
        return Mount{.type = type, .source = {}, .target = {}, .options = std::move(options)};
    };
    const Row rows[] = {
        {"nothing to mount", {}, false},
        {"overlayfs, first layer", {mount("bind", {"rw", "rbind"})}, false},
        {"overlayfs, with a parent",
         {mount("overlay", {"workdir=/w", "upperdir=/u", "lowerdir=/l"})},
         false},
        {"another type", {mount("fuse3.fuse-overlayfs", {"upperdir=/u", "lowerdir=/l"})}, false},
        {"btrfs", {mount("btrfs", {"subvol=/x"})}, false},
        {"erofs, to be filled",
         {mount("erofs", {"loop"}), mount("format/mkdir/overlay", {"upperdir={{ mount 0 }}"})},
         false},
        {"a directory of the cache", {mount("bind", {"rbind", "ro"})}, true},
        {"erofs", {mount("erofs", {"loop"})}, true},
        {"erofs, with the layers below",
         {mount("erofs", {}), mount("erofs", {}),
          mount("format/overlay", {"lowerdir={{ overlay 0 1 }}"})},
         true},
        {"overlay without a layer to write", {mount("overlay", {"lowerdir=/a:/b"})}, true},
        {"ro wins", {mount("overlay", {"ro", "upperdir=/u"})}, true},
        {"several options in one", {mount("overlay", {"lowerdir=/a,upperdir=/u"})}, false},
        {"several options in one, read-only",
         {mount("overlay", {"lowerdir=/a,ro,upperdir=/u"})},
         true},
        {"not an option: part of a path", {mount("bind", {"rw,source=/ro"})}, false},
        {"the last one counts", {mount("bind", {"ro"}), mount("bind", {"rw"})}, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(is_staged(row.mounts) == row.expected);
    }
}

TEST_CASE("prepare() returns the mounts") {
    Fixture at;
    at.prepare = {Status::OK};
    const auto mounts = at.snapshots.prepare("key", "", kRef);
    REQUIRE(mounts);
    REQUIRE(mounts->size() == 1);
    CHECK(mounts->front().type == "bind");
    CHECK(mounts->front().source == "/overlayfs/key");
    CHECK(mounts->front().options == std::vector<std::string>{"rw"});
    CHECK(at.leased.empty());
}

TEST_CASE("prepare() retries once if a leftover directory was in the way") {
    const Status leftover(StatusCode::UNKNOWN, "mkdir /x/5: file exists");
    Fixture at;
    SUBCASE("that the first call has removed") {
        at.prepare = {leftover, Status::OK};
        CHECK(at.snapshots.prepare("key", "", kRef));
    }
    SUBCASE("that stays") {
        at.prepare = {leftover};
        CHECK(thrown_by([&] { at.snapshots.prepare("key", "", kRef); }).code() == Errc::io);
    }
    CHECK(at.calls == 2);
}

TEST_CASE("an existing target is put under the lease, an existing key is a conflict") {
    Fixture at;
    at.prepare = {Status(StatusCode::ALREADY_EXISTS, "")};
    SUBCASE("target") {
        at.known = "chain";
        CHECK_FALSE(at.snapshots.prepare("key", "", kRef));
        CHECK(at.leased == std::vector<std::string>{"lease snapshots/overlayfs chain"});
    }
    SUBCASE("target, without a lease") {
        at.known = "chain";
        const Snapshots unleased(at.connection, {.ns = "ns", .lease = {}}, "overlayfs");
        CHECK_FALSE(unleased.prepare("key", "", kRef));
        CHECK(at.leased.empty());
    }
    SUBCASE("key") {
        CHECK(thrown_by([&] { at.snapshots.prepare("key", "", kRef); }).code() == Errc::conflict);
    }
    SUBCASE("key, without a target") {
        CHECK(thrown_by([&] { at.snapshots.prepare("key", "", {}); }).code() == Errc::conflict);
    }
}

TEST_CASE("INVALID_ARGUMENT means a missing snapshotter only if it is missing") {
    Fixture at;
    at.prepare = {Status(StatusCode::INVALID_ARGUMENT, "bad")};
    for (const char* name : {"btrfs", "zfs"}) {
        CAPTURE(name);
        const Snapshots broken(at.connection, {.ns = "ns", .lease = {}}, name);
        const Error error = thrown_by([&] { broken.prepare("key", "", {}); });
        CHECK(error.code() == Errc::not_found);
        CHECK(contains(error.message(), "no working snapshotter '" + std::string(name) + "'"));
    }
    CHECK(thrown_by([&] { at.snapshots.prepare("key", "", {}); }).code() == Errc::internal);
}

TEST_CASE("a snapshot that exists at its commit is an outcome") {
    Fixture at;
    at.server.snapshots.commit = [](auto&, const auto&, auto&) {
        return Status(StatusCode::ALREADY_EXISTS, "");
    };
    CHECK(at.snapshots.commit("chain", "key", {}) == CommitOutcome::already_there);
}

TEST_CASE("a list of snapshots comes in parts, and may fail") {
    Fixture at;
    Status end = Status::OK;
    at.server.snapshots.list = [&](auto&, const auto&, auto& stream) {
        for (const auto kind : {fake::snapshots::VIEW, fake::snapshots::ACTIVE,
                                fake::snapshots::COMMITTED, fake::snapshots::UNKNOWN}) {
            fake::snapshots::ListSnapshotsResponse part;
            part.add_info()->set_kind(kind);
            stream.Write(part);
        }
        return end;
    };
    std::vector<SnapshotKind> kinds;
    for (const SnapshotInfo& info : at.snapshots.list()) kinds.push_back(info.kind);
    CHECK(kinds == std::vector{SnapshotKind::view, SnapshotKind::active, SnapshotKind::committed,
                               SnapshotKind::unknown});
    end = Status(StatusCode::UNKNOWN, "broken");
    CHECK(thrown_by([&] { at.snapshots.list(); }).code() == Errc::io);
}

TEST_CASE("garbage is collected by the removal of a lease") {
    Fixture at;
    std::string id;
    std::string expires;
    std::vector<std::string> removed;
    at.server.leases.create = [&](auto&, const auto& request, auto&) {
        id = request.id();
        expires = request.labels().at("containerd.io/gc.expire");
        return Status::OK;
    };
    at.server.leases.remove = [&](auto&, const auto& request, auto&) {
        removed.push_back(request.id() + (request.sync() ? " sync" : ""));
        return Status(StatusCode::NOT_FOUND, "");
    };
    const Leases leases(at.connection, "ns");
    leases.collect_garbage();
    CHECK(removed == std::vector<std::string>{id + " sync"});
    // RFC 3339: a lease with another form never expires.
    REQUIRE(expires.size() == std::string("2006-01-02T15:04:05Z").size());
    CHECK(expires[10] == 'T');
    CHECK(expires.back() == 'Z');
    leases.remove("mine");
    CHECK(removed.back() == "mine");
}

}  // namespace prebake::containerd::snapshots_test
