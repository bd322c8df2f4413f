// A recorded image is repaired from content on the disk.

#include "agent/bake/restore.h"

#include <filesystem>
#include <optional>

#include "agent/bake/bake_lock.h"
#include "agent/base/file.h"
#include "agent/containerd/content.h"
#include "agent/containerd/images.h"
#include "agent/containerd/leases.h"
#include "agent/containerd/snapshots.h"
#include "agent/store/stored_image.h"
#include "agent/store/verify.h"
#include "tests/system/containerd_client/daemon_under_test.h"
#include "tests/system/containerd_client/test_image.h"

namespace prebake::bake {
namespace {

using containerd::Content;
using containerd::Images;
using containerd::Leases;
using containerd::Snapshots;
using test::error_from;
using test::store;
using test::test_image;
using test::TestImage;
using test::TestNamespace;

const std::string kName = "example.org/restored:1";
const std::string kAlias = "example.org/alias:2";

class NoEvents final : public EventSink {
  public:
    void on_event(const Event& /*event*/) override {}
};

/// Removes the objects of a namespace that only its lease protects.
void forget_leased(const TestNamespace& ns) {
    const Leases leases(ns.connection(), ns.scope().ns);
    leases.remove(ns.scope().lease);
    leases.collect_garbage();
}

/// An image that is recorded in `ns`, where nothing of it exists yet.
struct Recorded {
    TestNamespace ns;
    TestImage image = test_image();
    v1::BakedImage entry;
    std::filesystem::path state_dir;
    NoEvents events;

    Recorded() {
        std::string pattern = std::filesystem::temp_directory_path() / "prebake-restore.XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()));
        state_dir = pattern;
        // The record is made in the namespace of the image, which is then removed.
        const TestNamespace elsewhere;
        store(elsewhere.connection(), elsewhere.scope(), image);
        entry = store::describe_stored(elsewhere.connection(), elsewhere.scope().ns,
                                       {.name = kName, .labels = {}, .target = image.manifest},
                                       oci::Platform::host());
        forget_leased(elsewhere);
        v1::Placement& placement = *entry.add_placements();
        placement.set_namespace_(ns.scope().ns);
        placement.add_names(kName);
        placement.add_names(kAlias);
        placement.set_layers_kept(true);
        placement.set_unpacked(true);
        placement.set_snapshotter("overlayfs");
    }
    ~Recorded() { std::filesystem::remove_all(state_dir); }

    v1::Placement& placement() { return *entry.mutable_placements(0); }
    containerd::Scope reading() const { return {.ns = ns.scope().ns, .lease = {}}; }
    Content content() const { return {ns.connection(), reading()}; }
    Images images() const { return {ns.connection(), reading()}; }
    bool is_unpacked(const std::string& snapshotter) const {
        return Snapshots(ns.connection(), reading(), snapshotter)
            .stat(image.diff_id.str())
            .has_value();
    }
    Restoration restore_now(const store::Snapshotters& snapshotters = {}) {
        return restore(BakeLock::for_repair(state_dir), entry, snapshotters, {}, state_dir,
                       ns.connection(), events);
    }
    void collect_garbage() const { forget_leased(ns); }
    std::size_t findings(const std::string& snapshotter = {}) const {
        v1::BakeRecord record;
        *record.add_images() = entry;
        store::VerifyOptions options;
        if (!snapshotter.empty()) options.snapshotters[ns.scope().ns] = snapshotter;
        return store::verify(record, ns.connection(), options).findings.size();
    }
};

TEST_CASE("an image of another namespace is restored, and stays") {
    Recorded at;
    const TestNamespace other;
    store(other.connection(), other.scope(), at.image);
    CHECK(at.findings() > 0);
    CHECK(at.restore_now() == Restoration::restored);
    at.collect_garbage();
    CHECK(at.findings() == 0);
    const auto alias = at.images().get(kAlias);
    REQUIRE(alias);
    CHECK(alias->target.digest == at.image.manifest.digest);
    CHECK(at.restore_now() == Restoration::was_whole);
    CHECK(Leases(at.ns.connection(), at.ns.scope().ns).list().empty());
}

TEST_CASE("an image is unpacked into another snapshotter than it was baked for") {
    Recorded at;
    store(at.ns.connection(), at.ns.scope(), at.image);
    CHECK(at.restore_now({{at.ns.scope().ns, "native"}}) == Restoration::restored);
    at.collect_garbage();
    CHECK(at.is_unpacked("native"));
    CHECK_FALSE(at.is_unpacked("overlayfs"));
    CHECK(at.findings("native") == 0);
    CHECK(at.findings() > 0);
}

TEST_CASE("a name that now points at another image is not changed") {
    Recorded at;
    store(at.ns.connection(), at.ns.scope(), at.image);
    const TestImage newer = test_image();
    store(at.ns.connection(), at.ns.scope(), newer);
    at.images().put({.name = kName, .labels = {{"test/label", "x"}}, .target = newer.manifest});
    CHECK(at.restore_now() == Restoration::restored);
    const auto moved = at.images().get(kName);
    REQUIRE(moved);
    CHECK(moved->target.digest == newer.manifest.digest);
    CHECK(moved->labels == containerd::Labels{{"test/label", "x"}});
    const auto alias = at.images().get(kAlias);
    REQUIRE(alias);
    CHECK(alias->target.digest == at.image.manifest.digest);
}

TEST_CASE("layers that are not on the disk") {
    Recorded at;
    store(at.ns.connection(), at.ns.scope(), at.image);
    REQUIRE(at.restore_now() == Restoration::restored);
    const std::string layer = at.image.layer.digest.str();
    at.content().remove(at.image.layer.digest);
    at.images().remove(kAlias);
    SUBCASE("are not needed if the bake did not keep them") {
        at.placement().set_layers_kept(false);
        CHECK(at.restore_now() == Restoration::restored);
        CHECK(at.images().get(kAlias));
    }
    SUBCASE("are reported after the names are repaired") {
        const auto message = error_from(Errc::not_found, [&] { at.restore_now(); });
        CHECK(message.find("layer " + layer + " of " + kName + " is not on this disk") !=
              std::string::npos);
        CHECK(message.find("prebake bake") != std::string::npos);
        CHECK(at.images().get(kAlias));
    }
    SUBCASE("cannot be unpacked again") {
        at.placement().set_layers_kept(false);
        const auto message = error_from(Errc::not_found, [&] {
            at.restore_now({{at.ns.scope().ns, "native"}});
        });
        CHECK(message.find(layer) != std::string::npos);
        CHECK_FALSE(at.images().get(kAlias));
        CHECK_FALSE(at.is_unpacked("native"));
    }
}

TEST_CASE("errors of restore") {
    Recorded at;
    SUBCASE("nothing is there") {
        const auto message = error_from(Errc::not_found, [&] { at.restore_now(); });
        CHECK(message.find("manifest " + at.image.manifest.digest.str()) != std::string::npos);
    }
    SUBCASE("a bake is running") {
        const FileLock lock(at.state_dir / "bake.lock");
        error_from(Errc::conflict, [&] { at.restore_now(); });
    }
    SUBCASE("a snapshotter that containerd does not have") {
        store(at.ns.connection(), at.ns.scope(), at.image);
        const auto message = error_from(Errc::usage, [&] {
            at.restore_now({{at.ns.scope().ns, "nosuch"}});
        });
        CHECK(message.find("nosuch") != std::string::npos);
    }
}

}  // namespace
}  // namespace prebake::bake
