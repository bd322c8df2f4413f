#include "agent/ledger/accounts.h"

#include <doctest/doctest.h>

#include <functional>

#include "tests/unit/ledger/scripted_node.h"

namespace prebake::ledger {
namespace {

using containerd::SnapshotKind;
using tests::digest;
using tests::ScriptedNode;
using tests::seconds;
using tests::Spec;

constexpr const char* kCri = ScriptedNode::kCri;

const Spec kApp{.name = "reg.io/app:1", .layers = {{"base", 100}, {"app", 20}}};
const Spec kTool{.name = "reg.io/tool:1", .layers = {{"base", 100}, {"tool", 7}}};
const Spec kAlien{.name = "reg.io/alien:1", .layers = {{"alien", 50}}};

/// A restoration adopts blobs from there.
void another_namespace_has(ScriptedNode& node, const Spec& spec) {
    for (const v1::Layer& layer : spec.parts()) {
        node.stores["default"].blobs.emplace(layer.digest(), node.now);
    }
    node.relist();
}

Spec named(Spec spec, const std::string& name) {
    spec.name = name;
    return spec;
}

store::ImageKey key_of(const Spec& spec) {
    return {.image = spec.name, .ns = kCri, .platform = spec.contents().platform()};
}

struct Expected {
    std::uint64_t hits = 0;
    std::uint64_t partials = 0;
    std::uint64_t misses = 0;
    std::uint64_t served = 0;
    std::uint64_t pulled = 0;
    std::uint64_t pulls = 0;
    std::string reason = {};
};

struct Case {
    const char* name;
    std::function<void(ScriptedNode&)> run;  ///< on a booted node with kApp baked
    Spec about;
    Expected expected;  ///< of that image
};

const Case kCases[] = {
    {"a baked image is a hit",
     [](ScriptedNode& node) { node.start(kCri, kApp, "c1"); },
     kApp,
     {.hits = 1, .served = 120}},
    {"a layer is served once",
     [](ScriptedNode& node) {
         node.start(kCri, kApp, "c1");
         node.start(kCri, kApp, "c2");
     },
     kApp,
     {.hits = 2, .served = 120}},
    {"shared layers make a partial",
     [](ScriptedNode& node) {
         node.pull(kCri, kTool);
         node.start(kCri, kTool, "c1");
     },
     kTool,
     {.partials = 1, .served = 100, .pulled = 7, .pulls = 1, .reason = "never_listed"}},
    {"shared layers that another image used first",
     [](ScriptedNode& node) {
         node.start(kCri, kApp, "c0");
         node.pull(kCri, kTool);
         node.start(kCri, kTool, "c1");
     },
     kTool,
     {.partials = 1, .pulled = 7, .pulls = 1, .reason = "never_listed"}},
    {"no layer was baked",
     [](ScriptedNode& node) {
         node.pull(kCri, kAlien);
         node.start(kCri, kAlien, "c1");
     },
     kAlien,
     {.misses = 1, .pulled = 50, .pulls = 1, .reason = "never_listed"}},
    {"pulled again with the same digest: nothing is fetched, and it is still a hit",
     [](ScriptedNode& node) {
         node.pull(kCri, kApp);
         node.start(kCri, kApp, "c1");
     },
     kApp,
     {.hits = 1, .served = 120, .pulls = 1, .reason = "pulled_again"}},
    {"deleted and pulled again",
     [](ScriptedNode& node) {
         node.remove(kCri, kApp);
         node.pull(kCri, kApp);
         node.start(kCri, kApp, "c1");
     },
     kApp,
     {.misses = 1, .pulled = 120, .pulls = 1, .reason = "garbage_collected"}},
    {"a later credential check does not replace the reason",
     [](ScriptedNode& node) {
         node.remove(kCri, kApp);
         node.pull(kCri, kApp);
         node.pull(kCri, kApp);
         node.start(kCri, kApp, "c1");
     },
     kApp,
     {.misses = 1, .pulled = 120, .pulls = 2, .reason = "garbage_collected"}},
    {"deleted, and a pulled image keeps one layer",
     [](ScriptedNode& node) {
         node.pull(kCri, kTool);
         node.remove(kCri, kApp);
         node.pull(kCri, kApp);
         node.start(kCri, kApp, "c1");
     },
     kApp,
     {.partials = 1, .served = 100, .pulled = 20, .pulls = 1, .reason = "garbage_collected"}},
    {"unpacked again from kept blobs",
     [](ScriptedNode& node) {
         for (const v1::Layer& layer : kApp.parts()) {
             node.stores[kCri].snapshots.erase(layer.chain_id());
             node.accounts->snapshot_removed(kCri, layer.chain_id(), node.now);
             node.tick();
             node.unpack(kCri, layer.chain_id(), "extract-2-efgh " + layer.chain_id());
         }
         node.start(kCri, kApp, "c1");
     },
     kApp,
     {.hits = 1, .served = 120}},
    {"recorded by prebake, which is no use of it",
     [](ScriptedNode& node) { node.start(kCri, kApp, "prebake-record-20261130-1"); },
     kApp,
     {}},
    {"pulled while prebake tried to restore it",
     [](ScriptedNode& node) {
         node.remove(kCri, kApp);
         node.tick();
         node.put(kCri, kApp);
         for (const v1::Layer& layer : kApp.parts()) {
             node.unpack(kCri, layer.chain_id(), "extract-2-prebake-x " + layer.chain_id());
         }
         node.accounts->restored(node.holdings(kCri));
         node.accounts->image_appeared(node.seen(kCri, kApp), node.now);
         node.start(kCri, kApp, "c1");
     },
     kApp,
     {.misses = 1, .pulled = 120, .pulls = 1, .reason = "garbage_collected"}},
    {"restored by prebake",
     [](ScriptedNode& node) {
         another_namespace_has(node, kApp);
         node.remove(kCri, kApp);
         node.tick();
         node.put(kCri, kApp);
         for (const v1::Layer& layer : kApp.parts()) {
             node.unpack(kCri, layer.chain_id(), "extract-2-prebake-x " + layer.chain_id());
         }
         node.accounts->restored(node.holdings(kCri));
         node.start(kCri, kApp, "c1");
         node.pull(kCri, kApp);
     },
     kApp,
     {.hits = 1, .served = 120, .pulls = 1, .reason = "pulled_again"}},
    {"the snapshot was missing at the last listing",
     [](ScriptedNode& node) {
         node.loses_events = true;
         node.stores[kCri].snapshots.erase(kApp.top());
         node.relist();
         node.pull(kCri, kApp);
         node.start(kCri, kApp, "c1");
     },
     kApp,
     {.hits = 1, .served = 120, .pulls = 1, .reason = "snapshot_missing"}},
    {"the tag moved",
     [](ScriptedNode& node) {
         const Spec moved = named(kAlien, kApp.name);
         node.pull(kCri, moved);
         node.start(kCri, moved, "c1");
     },
     named(kAlien, kApp.name),
     {.misses = 1, .pulled = 50, .pulls = 1, .reason = "tag_moved"}},
    {"the same image under another name, and the baked name was deleted",
     [](ScriptedNode& node) {
         const Spec other = named(kApp, "mirror.io/app:1");
         node.pull(kCri, other);
         node.remove(kCri, kApp);
         node.start(kCri, other, "c1");
     },
     named(kApp, "mirror.io/app:1"),
     {.partials = 1, .served = 120, .pulls = 1, .reason = "other_name"}},
    {"the same image under another name counts for the baked one",
     [](ScriptedNode& node) {
         const Spec other = named(kApp, "mirror.io/app:1");
         node.pull(kCri, other);
         node.start(kCri, other, "c1");
     },
     kApp,
     {.hits = 1, .served = 120}},
    {"of two images with one chain that were not baked, the later one",
     [](ScriptedNode& node) {
         node.pull(kCri, named(kAlien, "reg.io/z:1"));
         node.pull(kCri, kAlien);
         node.start(kCri, kAlien, "c1");
     },
     kAlien,
     {.misses = 1, .pulls = 1, .reason = "never_listed"}},
    {"the sandbox image that was there before the first event counts as baked",
     [](ScriptedNode& node) {
         node.sandbox = "reg.io/pause:3";
         node.set_baked();
         node.start(kCri, named({.name = "", .layers = {{"pause", 3}}}, "reg.io/pause:3"), "c1");
     },
     {.name = "reg.io/pause:3", .layers = {{"pause", 3}}},
     {.hits = 1, .served = 3}},
    {"an unlisted image that was there before the boot",
     [](ScriptedNode& node) {
         node.start(kCri, {.name = "reg.io/pause:3", .layers = {{"pause", 3}}}, "c1");
     },
     {.name = "reg.io/pause:3", .layers = {{"pause", 3}}},
     {.misses = 1, .reason = "never_listed"}},
    {"pulled, and containerd discards the unpacked layers",
     [](ScriptedNode& node) {
         node.loses_events = true;  // the event of the image comes later
         for (const v1::Layer& layer : kAlien.parts()) {
             node.accounts->snapshot_committed(kCri, "extract-3-ijkl " + layer.chain_id(),
                                               layer.chain_id(), node.now);
         }
         node.pull(kCri, kAlien);
         node.stores[kCri].blobs.erase(digest("alien"));
         node.loses_events = false;
         node.accounts->image_appeared(node.seen(kCri, kAlien), node.now);
         node.start(kCri, kAlien, "c1");
     },
     kAlien,
     {.misses = 1, .pulled = 50, .pulls = 1, .reason = "never_listed"}},
    {"pulled while events were lost",
     [](ScriptedNode& node) {
         node.loses_events = true;
         node.remove(kCri, kApp);
         node.pull(kCri, kApp);
         node.relist();
         node.start(kCri, kApp, "c1");
     },
     kApp,
     {.misses = 1, .pulled = 120, .pulls = 1, .reason = "pulled_again"}},
    {"CRI's three names are one image and one pull",
     [](ScriptedNode& node) {
         node.pull(kCri, kAlien);
         node.pull(kCri, named(kAlien, kAlien.contents().config().digest()));
         node.pull(kCri, named(kAlien, "reg.io/alien@" + kAlien.target()));
         node.start(kCri, kAlien, "c1");
     },
     kAlien,
     {.misses = 1, .pulled = 50, .pulls = 1, .reason = "never_listed"}},
};

TEST_CASE("the class of a start, and the reason") {
    for (const Case& row : kCases) {
        CAPTURE(std::string(row.name));
        ScriptedNode node;
        node.bake(kApp);
        node.put(kCri, {.name = "reg.io/pause:3", .layers = {{"pause", 3}}});
        node.boot();
        row.run(node);
        for (const bool is_restarted : {false, true}) {
            CAPTURE(is_restarted);
            if (is_restarted) CHECK(node.restart() == 0);
            const v1::LedgerImage image = node.entry(row.about);
            CHECK(image.hits() == row.expected.hits);
            CHECK(image.partials() == row.expected.partials);
            CHECK(image.misses() == row.expected.misses);
            CHECK(image.starts() == image.hits() + image.partials() + image.misses());
            CHECK(image.bytes_served() == row.expected.served);
            CHECK(image.bytes_pulled() == row.expected.pulled);
            CHECK(image.pulls() == row.expected.pulls);
            CHECK(image.reason() == row.expected.reason);
        }
    }
}

TEST_CASE("a moved :latest, and an image that was baked for another namespace") {
    const Spec latest = named(kApp, "reg.io/app:latest");
    ScriptedNode node;
    node.bake(latest, {"moby"});
    node.boot();
    const Spec moved = named(kAlien, latest.name);
    node.pull("moby", moved);
    CHECK(node.entry(moved, "moby").reason() == "latest_tag");
    CHECK(node.pull(kCri, latest).empty());  // moby has its blobs
    node.start(kCri, latest, "c1");
    const v1::LedgerImage other = node.entry(latest, kCri);
    CHECK(other.reason() == "other_namespace");
    CHECK(other.partials() == 1);
    CHECK(other.bytes_pulled() == 0);
    CHECK(other.bytes_served() == 120);
    CHECK_FALSE(other.baked());
}

TEST_CASE("snapshots that are not starts") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    Accounts& accounts = *node.accounts;
    const std::string base = kApp.contents().layers(0).chain_id();
    CHECK(accounts.snapshot_prepared(kCri, "extract-1-x " + kApp.top(), kApp.top()) ==
          Prepared::not_a_start);
    CHECK(accounts.snapshot_prepared(kCri, "buildkit", base) == Prepared::not_a_start);
    CHECK(accounts.snapshot_prepared(kCri, "c1", "") == Prepared::not_a_start);
    CHECK(accounts.snapshot_prepared(kCri, "c1", "c0") == Prepared::not_a_start);
    CHECK(accounts.snapshot_prepared(kCri, "c1", digest("?")) == Prepared::on_unknown_image);
    CHECK(accounts.snapshot_prepared("default", "c1", kApp.top()) == Prepared::on_unknown_image);
    node.run(kCri, "c1");
    CHECK(node.totals().starts() == 0);
    CHECK(node.start(kCri, kApp, "c1") == Prepared::for_container);
    CHECK(node.start(kCri, kApp, "c1") == Prepared::not_a_start);
    node.stop(kCri, "c1");
    CHECK(node.start(kCri, kApp, "c1") == Prepared::for_container);
    CHECK(node.totals().hits() == 2);
}

TEST_CASE("a container counts when its process starts, and once") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.create(kCri, kApp, "fails in runc");
    CHECK(node.relist() == 0);
    CHECK(node.restart() == 0);
    node.stop(kCri, "fails in runc");
    node.create(kCri, kApp, "c1");
    CHECK(node.totals().starts() == 0);
    node.run(kCri, "c1");
    CHECK(node.totals().hits() == 1);
    node.run(kCri, "c1");  // it is started again
    CHECK(node.relist() == 0);
    CHECK(node.totals().starts() == 1);

    // The daemon is away while it starts, and while another is created.
    node.create(kCri, kApp, "c2");
    node.loses_events = true;
    node.run(kCri, "c2");
    node.create(kCri, kApp, "c3");
    CHECK(node.relist() == 1);
    node.run(kCri, "c3");
    CHECK(node.totals().hits() == 3);

    // Its end is reported before its start.
    node.create(kCri, kApp, "c4");
    node.accounts->snapshot_removed(kCri, "c4", node.now);
    node.run(kCri, "c4");
    CHECK(node.totals().hits() == 4);
}

TEST_CASE("the containers of every client count when their process starts") {
    const std::string id = digest("a container").substr(sizeof("sha256:") - 1);
    struct Client {
        const char* name;
        const char* ns;
        std::string key;    ///< of the container's snapshot, mostly the container's ID
        std::string image;  ///< as the container names it
    };
    const std::vector<Client> clients{
        {"ctr run", "default", "web", kApp.name},
        {"nerdctl run", "default", id, kApp.name},
        {"CRI, by tag", kCri, id, kApp.name},
        {"CRI, by digest", kCri, id, "reg.io/app@" + kApp.target()},
        {"CRI, by ID", kCri, id, kApp.contents().config().digest()},
        {"Docker", "moby", id, kApp.name},
        {"a client that names no image", "default", id, ""},
    };
    for (const Client& client : clients) {
        CAPTURE(client.name);
        const std::string ns = client.ns;
        ScriptedNode node;
        node.bake(kApp, {ns});
        node.boot();
        Accounts& accounts = *node.accounts;
        std::string parent = kApp.top();
        if (ns == "moby") {
            parent = client.key + "-init";
            CHECK(accounts.snapshot_prepared(ns, parent + "-key", kApp.top()) ==
                  Prepared::for_container);
            accounts.snapshot_committed(ns, parent + "-key", parent, node.tick());
        }
        CHECK(accounts.snapshot_prepared(ns, client.key, parent) == Prepared::for_container);
        accounts.container_created(ns, client.key, client.image, node.now);
        CHECK_MESSAGE(node.totals().starts() == 0, "it may never run");
        accounts.task_started(ns, client.key, node.tick());
        CHECK(node.totals().hits() == 1);
        accounts.snapshot_removed(ns, client.key, node.tick());
        CHECK(node.totals().starts() == 1);
    }
}

TEST_CASE("of two images with one top layer, the container's image name decides") {
    const Spec twin{.name = "reg.io/twin:1", .layers = kApp.layers, .entrypoint = "twin"};
    const Spec pulled{.name = "reg.io/pulled:1", .layers = kApp.layers, .entrypoint = "pulled"};
    ScriptedNode node;
    node.bake(kApp);
    node.bake(twin);
    node.boot();
    node.pull(kCri, pulled);
    node.start(kCri, twin, "c1");
    node.start(kCri, twin, "c2");
    node.start(kCri, kApp, "c3");
    node.start(kCri, pulled, "c4");
    node.loses_events = true;
    node.start(kCri, twin, "c5");
    CHECK(node.relist() == 1);
    CHECK(node.entry(twin).starts() == 3);
    CHECK(node.entry(kApp).starts() == 1);
    CHECK(node.entry(pulled).starts() == 1);
    CHECK(node.accounts->usage(key_of(twin)).starts == 3);
    CHECK(node.accounts->report().never_used().empty());
}

TEST_CASE("what a bake on the node fetches was not pulled") {
    ScriptedNode node;
    node.boot();
    node.pull(kCri, kAlien);
    node.tick(seconds(3600));
    node.pull(kCri, kApp);
    CHECK(node.totals().bytes_pulled() > 0);
    const std::uint64_t of_alien = node.entry(kAlien).bytes_pulled();
    for (const Spec& spec : {kApp, kAlien}) {
        node.add_to_record(spec).set_seconds(10);  // of kAlien everything was there
    }
    node.tick(seconds(600));  // other images follow; then the record is written
    node.set_baked();
    CHECK(node.entry(kApp).bytes_pulled() == 0);
    CHECK(node.entry(kApp).pulls() == 0);
    CHECK(node.entry(kApp).reason().empty());
    CHECK(node.entry(kAlien).pulls() == 1);
    CHECK(node.totals().bytes_pulled() == of_alien);
    node.start(kCri, kApp, "c1");
    CHECK(node.totals().hits() == 1);
    CHECK(node.entry(kApp).reason().empty());
}

TEST_CASE("what a bake fetched to repair an image is found by a listing, and was not pulled") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.tick(seconds(3600));
    node.store_again(kCri, kApp);
    *node.record.mutable_images(0)->mutable_baked_at() = to_timestamp(node.tick());
    node.set_baked();
    node.tick(seconds(30));
    node.relist();
    CHECK(node.totals().bytes_pulled() == 0);
    CHECK(node.entry(kApp).pulls() == 0);
    node.start(kCri, kApp, "c1");
    CHECK(node.totals().hits() == 1);
}

TEST_CASE("what a bake fetched to repair an image was not pulled, also if it is listed first") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.tick(seconds(3600));
    node.store_again(kCri, kApp);
    const Time ended = node.now;
    node.tick(seconds(30));
    node.relist();
    CHECK_MESSAGE(node.entry(kApp).pulls() == 1, "until the record is read");
    v1::BakedImage& image = *node.record.mutable_images(0);
    image.set_seconds(20);
    *image.mutable_baked_at() = to_timestamp(ended);
    node.set_baked();
    CHECK(node.totals().bytes_pulled() == 0);
    CHECK(node.entry(kApp).pulls() == 0);
}

TEST_CASE("all names that a bake gives are of the bake") {
    ScriptedNode node;
    node.boot();
    node.tick(seconds(3600));
    // As a bake does: the tag comes last.
    const std::string id = kApp.contents().config().digest();
    const std::string by_digest = kApp.name.substr(0, kApp.name.rfind(':')) + "@" + kApp.target();
    for (const std::string& name : {id, by_digest}) {
        Spec spec = kApp;
        spec.name = name;
        node.pull(kCri, spec);
    }
    node.pull(kCri, kApp);
    CHECK(node.totals().bytes_pulled() > 0);
    v1::BakedImage& image = node.add_to_record(kApp);
    for (const std::string& name : {id, by_digest}) image.mutable_placements(0)->add_names(name);
    image.set_seconds(20);
    node.set_baked();
    CHECK(node.totals().bytes_pulled() == 0);
    CHECK(node.accounts->report().images().empty());
    CHECK(node.accounts->report().never_used_size() == 1);
}

TEST_CASE("what a bake fetched was not pulled, also if the record is read before the news of it") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.tick(seconds(3600));
    node.remove(kCri, kApp);
    v1::BakedImage& image = *node.record.mutable_images(0);
    image.set_seconds(60);
    *image.mutable_baked_at() = to_timestamp(node.now + seconds(60));
    node.set_baked();
    node.pull(kCri, kApp);
    CHECK(node.entry(kApp).pulls() == 0);
    CHECK(node.entry(kApp).bytes_pulled() == 0);
    CHECK(node.totals().bytes_pulled() == 0);
    // A pull after the bake is one.
    node.tick(seconds(3600));
    node.remove(kCri, kApp);
    node.pull(kCri, kApp);
    CHECK(node.entry(kApp).pulls() == 1);
}

TEST_CASE("Docker's containers count once") {
    ScriptedNode node;
    node.bake(kApp, {"moby"});
    node.boot();
    auto& moby = node.stores["moby"];
    const auto prepare = [&](const std::string& key, const std::string& parent) {
        return node.accounts->snapshot_prepared("moby", key, parent);
    };
    const auto put = [&](const std::string& id) {
        moby.snapshots[id + "-init"] = {
            .at = node.tick(), .kind = SnapshotKind::committed, .parent = kApp.top()};
        moby.snapshots[id] = {.at = node.now, .kind = SnapshotKind::active, .parent = id + "-init"};
    };
    const auto create = [&](const std::string& id) {
        CHECK(prepare(id + "-init-key", kApp.top()) == Prepared::for_container);
        node.accounts->snapshot_committed("moby", id + "-init-key", id + "-init", node.now);
        CHECK(prepare(id, id + "-init") == Prepared::for_container);
        put(id);
    };
    create("one");
    create("never started");
    CHECK(node.totals().starts() == 0);
    moby.containers["one"] = kApp;
    node.run("moby", "one");
    CHECK(node.totals().hits() == 1);
    CHECK(node.relist() == 0);
    CHECK(node.restart() == 0);
    // A listing finds it before the event of its preparation is read.
    put("two");
    moby.containers["two"] = kApp;
    moby.started.insert("two");
    CHECK(node.relist() == 1);
    CHECK(prepare("two-init-key", kApp.top()) == Prepared::not_a_start);
    // It is committed, and that event is lost.
    CHECK(prepare("three-init-key", kApp.top()) == Prepared::for_container);
    put("three");
    moby.containers["three"] = kApp;
    CHECK(node.relist() == 0);
    node.run("moby", "three");
    CHECK(node.totals().hits() == 3);
    node.accounts->snapshot_removed("moby", "one", node.now);
    CHECK(node.accounts->state().counted_size() == 2);
}

TEST_CASE("Docker's containers that an older version counted do not count again") {
    ScriptedNode node;
    node.bake(kApp, {"moby"});
    node.boot();
    auto& moby = node.stores["moby"];
    moby.snapshots["id-init"] = {
        .at = node.now, .kind = SnapshotKind::committed, .parent = kApp.top()};
    moby.snapshots["id"] = {.at = node.now, .kind = SnapshotKind::active, .parent = "id-init"};
    moby.containers["id"] = kApp;
    moby.started.insert("id");
    v1::LedgerState stored = node.accounts->state();
    v1::CountedStart& counted = *stored.add_counted();
    counted.set_namespace_("moby");
    counted.set_key("id-init");
    node.accounts = std::make_unique<Accounts>(stored);
    CHECK(node.attach() == 0);
    CHECK(node.totals().starts() == 0);
}

TEST_CASE("a snapshot on a chain of no image is not a start") {
    ScriptedNode node;
    node.boot();
    CHECK(node.start(kCri, kAlien, "a builder's step") == Prepared::on_unknown_image);
    CHECK(node.relist() == 0);
    CHECK(node.restart() == 0);
    CHECK(node.totals().starts() == 0);
    CHECK(node.accounts->report().images_size() == 0);

    // The image's name is created last: the daemon looks for it when a start has no image.
    CHECK(node.start(kCri, kTool, "c1") == Prepared::on_unknown_image);
    node.accounts->image_appeared(node.seen(kCri, kTool), std::nullopt);
    CHECK(node.accounts->snapshot_prepared(kCri, "c1", kTool.top()) == Prepared::for_container);
    node.run(kCri, "c1");
    CHECK(node.entry(kTool).misses() == 1);
    CHECK(node.totals().starts() == 1);
}

TEST_CASE("containers that started since the boot count, those of the builder do not") {
    ScriptedNode node;
    node.bake(kApp);
    node.start(kCri, kApp, "of the builder");
    node.booted_at = node.tick(seconds(50));
    node.start(kCri, kApp, "before the daemon");
    node.accounts = std::make_unique<Accounts>(v1::LedgerState());
    node.accounts->open("i-1", "boot-1", node.booted_at, node.tick());
    node.set_baked();
    CHECK(node.relist() == 1);
    CHECK(node.totals().hits() == 1);
    CHECK(node.accounts->state().counted_size() == 2);
    CHECK(node.relist() == 0);
}

TEST_CASE("which snapshots are image volumes") {
    CHECK(is_image_volume("/run/containerd/io.containerd.grpc.v1.cri/image-volumes/s1/0a1b"));
    CHECK(is_image_volume("/run/k3s/containerd/io.containerd.grpc.v1.cri/image-volumes/s1/0a1b"));
    CHECK_FALSE(is_image_volume("c1"));
    CHECK_FALSE(is_image_volume("image-volumes/s1/0a1b"));
    CHECK_FALSE(is_image_volume("extract-1 /image-volumes/s1/0a1b"));
}

TEST_CASE("a view of an image is not a start") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.stores[kCri].snapshots["a mount"] = {
        .at = node.tick(), .kind = SnapshotKind::view, .parent = kApp.top()};
    CHECK(node.relist() == 0);
    CHECK(node.restart() == 0);
    CHECK(node.totals().starts() == 0);
}

TEST_CASE("the listing after a gap counts the new starts only") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.start(kCri, kApp, "c1");
    node.start(kCri, kApp, "c2");
    node.loses_events = true;
    node.stop(kCri, "c1");
    node.start(kCri, kApp, "c3");
    node.pull(kCri, kAlien);
    node.start(kCri, kAlien, "c4");
    CHECK(node.relist() == 2);
    node.accounts->mark_gap(node.now, node.now - seconds(5), "events_overflowed", 2);
    const v1::Ledger ledger = node.accounts->report();
    CHECK(ledger.since_claim().hits() == 3);
    CHECK(ledger.since_claim().misses() == 1);
    CHECK(ledger.since_claim().bytes_pulled() == 50);
    REQUIRE(ledger.gaps_size() == 1);
    CHECK(ledger.gaps(0).found_after() == 2);
    CHECK(to_time(ledger.gaps(0).from()) == to_time(ledger.gaps(0).to()));
    for (int i = 0; i < 40; ++i) {
        node.accounts->mark_gap(node.now, node.now, "gap " + std::to_string(i), 0);
    }
    CHECK(node.accounts->state().gaps_size() == 32);
    CHECK(node.accounts->state().gaps(31).cause() == "gap 39");
    CHECK(node.accounts->state().gaps_total() == 41);
}

TEST_CASE("a new boot and a new claim") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot("i-1", "boot-1");
    node.start(kCri, kApp, "c1");
    node.stop(kCri, "c1");
    node.boot("i-1", "boot-2");
    node.start(kCri, kApp, "c2");
    v1::Ledger ledger = node.accounts->report();
    CHECK(ledger.since_claim().hits() == 2);
    CHECK(ledger.boot().hits() == 1);
    CHECK(ledger.boot().bytes_served() == 120);
    CHECK(ledger.boot().byte_hit_ratio() == 1);
    CHECK(ledger.since_claim().bytes_served() == 120);
    CHECK(ledger.boot_id() == "boot-2");
    node.boot("i-2", "boot-2");
    ledger = node.accounts->report();
    CHECK(ledger.since_claim().starts() == 0);
    CHECK(ledger.images_size() == 0);
    CHECK(to_time(ledger.since()) == node.now);
    REQUIRE(ledger.never_used_size() == 1);
    node.start(kCri, kApp, "c3");
    CHECK(node.totals().bytes_served() == 120);
}

TEST_CASE("the bytes of a boot count once, even if the daemon is restarted") {
    ScriptedNode node;
    node.bake(kApp);
    node.bake(kTool);
    node.boot("i-1", "boot-1");
    node.start(kCri, kTool, "c1");
    node.boot("i-1", "boot-2");
    node.restart();
    CHECK(node.accounts->report().boot().bytes_served() == 0);
    node.start(kCri, kApp, "c2");
    CHECK(node.accounts->report().boot().bytes_served() == 120);
    node.restart();
    node.start(kCri, kApp, "c3");
    node.start(kCri, kTool, "c4");
    const v1::Ledger ledger = node.accounts->report();
    CHECK(ledger.boot().bytes_served() == 127);
    CHECK(ledger.since_claim().bytes_served() == 127);
    CHECK(node.accounts->state().boot_layers_size() == 3);
}

TEST_CASE("a ledger of an old version, without the layers of its boot") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot("i-1", "boot-1");
    node.start(kCri, kApp, "c1");
    v1::LedgerState old = node.accounts->state();
    old.clear_boot_layers();
    node.accounts = std::make_unique<Accounts>(old);
    node.attach();
    node.start(kCri, kApp, "c2");
    CHECK(node.accounts->report().boot().bytes_served() == 120);
    node.boot("i-1", "boot-2");
    node.start(kCri, kApp, "c3");
    CHECK(node.accounts->report().boot().bytes_served() == 120);
    CHECK(node.totals().bytes_served() == 120);
}

TEST_CASE("a layer that two images were pulled with is credited to the first of the record") {
    for (const bool is_reversed : {false, true}) {
        CAPTURE(is_reversed);
        ScriptedNode node;
        node.bake(kApp);
        node.bake(kTool);
        node.boot();
        if (is_reversed) node.record.mutable_images()->SwapElements(0, 1);
        node.set_baked();
        node.loses_events = true;
        node.remove(kCri, kApp);
        node.remove(kCri, kTool);
        node.pull(kCri, kApp);
        node.pull(kCri, kTool);
        node.relist();
        CHECK(node.entry(kApp).bytes_pulled() == (is_reversed ? 20 : 120));
        CHECK(node.entry(kTool).bytes_pulled() == (is_reversed ? 107 : 7));
        CHECK(node.totals().bytes_pulled() == 127);
    }
}

TEST_CASE("the daemon remembers after a restart which baked layers were pulled again") {
    ScriptedNode node;
    node.bake(kApp);
    node.bake(kTool);
    node.boot();
    node.remove(kCri, kApp);
    node.pull(kCri, kApp);
    node.restart();
    node.start(kCri, kApp, "c1");
    node.start(kCri, kTool, "c2");
    CHECK(node.entry(kApp).partials() == 1);  // kTool kept the base
    CHECK(node.entry(kTool).hits() == 1);
    CHECK(node.totals().bytes_pulled() == 20);
}

TEST_CASE("images that are baked while the daemon runs are baked") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.tick();
    node.bake(kAlien);
    node.accounts->image_appeared(node.seen(kCri, kAlien), node.tick());
    *node.record.mutable_images(1)->mutable_baked_at() = to_timestamp(node.tick());
    node.set_baked();
    node.start(kCri, kAlien, "c1");
    node.restart();
    node.start(kCri, kAlien, "c2");
    CHECK(node.entry(kAlien).hits() == 2);
}

TEST_CASE("a blob that another namespace has is not pulled") {
    ScriptedNode node;
    node.bake(kApp, {kCri, "moby"});
    node.boot();
    node.remove(kCri, kApp);
    CHECK(node.pull(kCri, kApp).empty());
    node.start(kCri, kApp, "c1");
    CHECK(node.entry(kApp).hits() == 1);
    CHECK(node.entry(kApp).reason() == "garbage_collected");
    node.restart();
    node.start(kCri, kApp, "c2");
    CHECK(node.entry(kApp).hits() == 2);
    CHECK(node.totals().bytes_pulled() == 0);
}

TEST_CASE("an image that is deleted and pulled every night counts every night") {
    using Drops = ScriptedNode::Drops;
    for (const Drops drops : {Drops::nothing, Drops::before_the_name, Drops::after_the_name}) {
        CAPTURE(static_cast<int>(drops));
        for (const bool is_reported : {true, false}) {
            CAPTURE(is_reported);
            ScriptedNode node;
            node.bake(kApp);
            node.boot();
            node.drops = drops;
            for (int night = 0; night < 3; ++night) {
                node.loses_events = !is_reported;
                node.remove(kCri, kAlien);
                node.pull(kCri, kAlien);
                CHECK(node.relist() == 0);
                node.pull(kCri, kAlien);  // nothing is fetched
            }
            CHECK(node.restart() == 0);
            CHECK(node.entry(kAlien).bytes_pulled() == 150);
            CHECK(node.totals().bytes_pulled() == 150);
        }
    }
}

TEST_CASE("a pull during which the daemon is restarted counts completely, and once") {
    const Spec other{.name = "reg.io/other:1", .layers = {{"other", 3}}};
    const Spec unlisted{.name = "reg.io/unlisted:1", .layers = {{"low", 100}, {"high", 20}}};
    for (const Spec& pulled : {kApp, unlisted}) {
        CAPTURE(pulled.name);
        ScriptedNode node;
        node.bake(kApp);
        node.bake(other);
        node.boot();
        node.remove(kCri, pulled);
        node.on_layer = [&] {
            node.on_layer = nullptr;
            // The ledger gets later events of other images, and none of this pull.
            node.pull(kCri, kAlien);
            node.start(kCri, other, "c1");
            node.restart();
            node.restart();
        };
        node.pull(kCri, pulled);
        node.start(kCri, pulled, "c2");
        for (int i = 0; i < 2; ++i) {
            CHECK(node.entry(pulled).bytes_pulled() == 120);
            CHECK(node.entry(pulled).misses() == 1);
            CHECK(node.totals().bytes_pulled() == 170);
            CHECK(node.totals().starts() == 2);
            node.restart();
        }
    }
}

TEST_CASE("a pull is counted if the next daemon is stopped before its first listing") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.loses_events = true;
    node.remove(kCri, kApp);
    node.pull(kCri, kApp);
    node.pull(kCri, kAlien);
    const auto reopen = [&] {
        node.accounts = std::make_unique<Accounts>(node.accounts->state());
        node.accounts->open("i-1", "boot-1", node.booted_at, node.tick(seconds(7200)));
        node.set_baked();
    };
    reopen();
    reopen();
    node.restart();
    node.start(kCri, kApp, "c1");
    CHECK(node.entry(kApp).misses() == 1);
    CHECK(node.totals().bytes_pulled() == 170);
}

TEST_CASE("an image that prebake restored before a pull is not pulled after a restart") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    another_namespace_has(node, kApp);
    node.remove(kCri, kApp);
    node.tick();
    node.put(kCri, kApp);
    node.accounts->restored(node.holdings(kCri));
    node.pull(kCri, kAlien);
    node.restart();
    node.start(kCri, kApp, "c1");
    CHECK(node.entry(kApp).hits() == 1);
    CHECK(node.totals().bytes_pulled() == 50);
}

TEST_CASE("a clock that was ahead has no lasting effect") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    const Time right = node.now;
    node.tick(seconds(400'000'000));
    node.pull(kCri, kAlien);
    node.now = right;
    node.restart();
    CHECK(to_time(node.accounts->report().updated_at()) == node.now);
    node.restart();
    // A pull while the daemon is stopped is found again.
    node.loses_events = true;
    node.remove(kCri, kApp);
    node.pull(kCri, kApp);
    node.restart();
    node.start(kCri, kApp, "c1");
    CHECK(node.entry(kApp).misses() == 1);
    CHECK(node.entry(kApp).bytes_pulled() == 120);
    CHECK(node.totals().bytes_pulled() == 170);
}

TEST_CASE("no part counts twice if there are more than the file keeps") {
    Spec large{.name = "reg.io/large:1", .layers = {}};
    for (int i = 0; i < 2200; ++i) large.layers.emplace_back(std::to_string(i), 1);
    ScriptedNode node;
    node.boot();
    node.pull(kCri, large);
    CHECK(node.accounts->state().settled_size() == 4096);
    for (int i = 0; i < 2; ++i) node.restart();
    CHECK(node.totals().bytes_pulled() == 2200);
    node.tick(seconds(7200));
    node.relist();
    CHECK(node.accounts->state().settled_size() == 0);
    node.restart();
    CHECK(node.totals().bytes_pulled() == 2200);
}

TEST_CASE("a ledger of an old version, without settled parts") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.pull(kCri, kAlien);
    node.start(kCri, kAlien, "c1");
    v1::LedgerState old = node.accounts->state();
    old.clear_uncounted_since();
    old.clear_settled();
    node.tick();
    node.loses_events = true;
    node.pull(kCri, kTool);
    node.accounts = std::make_unique<Accounts>(old);
    CHECK(node.attach() == 0);
    CHECK(node.entry(kAlien).bytes_pulled() == 50);
    CHECK(node.entry(kTool).bytes_pulled() == 7);
}

TEST_CASE("a layer that another namespace has is not pulled again") {
    ScriptedNode node;
    node.boot();
    node.pull(kCri, kAlien);
    CHECK(node.pull("moby", kAlien).empty());
    node.remove(kCri, kAlien);
    CHECK(node.pull(kCri, kAlien).empty());
    node.remove("moby", kAlien);
    CHECK(node.pull("moby", kAlien).empty());
    CHECK(node.totals().bytes_pulled() == 50);
    node.remove(kCri, kAlien);
    node.remove("moby", kAlien);
    CHECK(node.pull("moby", kAlien).size() == 1);
    CHECK(node.totals().bytes_pulled() == 100);
}

TEST_CASE("a layer counts once, even if its snapshot is made after the image was named") {
    ScriptedNode node;
    node.boot();
    node.stores[kCri].images[kAlien.name] = kAlien;
    node.stores[kCri].blobs.emplace(digest("alien"), node.tick());
    node.accounts->image_appeared(node.seen(kCri, kAlien), node.tick());
    node.unpack(kCri, kAlien.top(), "extract-1-abcd " + kAlien.top());
    node.drop_blobs(kCri, kAlien);
    CHECK(node.relist() == 0);
    node.accounts->image_appeared(node.seen(kCri, kAlien), node.tick());
    CHECK(node.totals().bytes_pulled() == 50);
    CHECK(node.restart() == 0);
    CHECK(node.totals().bytes_pulled() == 50);
}

TEST_CASE("a deletion is ignored if a listing found a later blob") {
    for (const bool has_blobs : {true, false}) {
        CAPTURE(has_blobs);
        ScriptedNode node;
        node.boot();
        if (!has_blobs) node.drops = ScriptedNode::Drops::before_the_name;
        node.loses_events = true;
        const Time deleted_at = node.tick();
        node.tick();
        node.pull(kCri, kAlien);
        node.relist();
        node.accounts->blob_deleted(kCri, digest("alien"), deleted_at);
        node.accounts->snapshot_removed(kCri, kAlien.top(), deleted_at);
        node.relist();
        node.pull(kCri, kAlien);
        CHECK(node.totals().bytes_pulled() == 50);
    }
}

TEST_CASE("without kept layers, a chain that is made again was pulled") {
    ScriptedNode node;
    node.bake(kApp, {kCri}, false);
    node.boot();
    node.start(kCri, kApp, "c1");
    node.stop(kCri, "c1");
    node.remove(kCri, kApp);
    node.pull(kCri, kApp);
    node.start(kCri, kApp, "c2");
    CHECK(node.entry(kApp).hits() == 1);
    CHECK(node.entry(kApp).misses() == 1);
    CHECK(node.entry(kApp).bytes_pulled() == 120);
}

TEST_CASE("the chains of a baked image are found when it is unpacked later") {
    ScriptedNode node;
    node.bake(kApp);
    v1::BakedImage& baked = *node.record.mutable_images(0);
    baked.clear_chain_id();
    for (v1::Layer& layer : *baked.mutable_layers()) layer.clear_chain_id();
    node.accounts->open("i-1", "boot-1", node.tick(seconds(9)), node.tick());
    node.set_baked();
    CHECK(node.accounts->is_news(kCri, kApp.name, kApp.target()));
    node.relist();
    CHECK_FALSE(node.accounts->is_news(kCri, kApp.name, kApp.target()));
    node.start(kCri, kApp, "c1");
    CHECK(node.entry(kApp).hits() == 1);
    CHECK(node.entry(kApp).pulls() == 0);
}

TEST_CASE("the clock is set back") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.pull(kCri, kAlien);
    node.now -= seconds(3600);
    node.start(kCri, kAlien, "c1");
    node.start(kCri, kAlien, "c2");
    const v1::LedgerImage image = node.entry(kAlien);
    CHECK(image.misses() == 2);
    CHECK(image.seconds_to_first_start() == 0);
    CHECK(to_time(image.last_used_at()) >= to_time(image.first_used_at()));
    node.now -= seconds(3600);
    node.start(kCri, kAlien, "c3");
    CHECK(to_time(node.entry(kAlien).last_used_at()) >=
          to_time(node.entry(kAlien).first_used_at()));
    CHECK(node.restart() == 0);
    CHECK(node.totals().bytes_pulled() == 50);
    CHECK(node.totals().misses() == 3);
}

TEST_CASE("the time from the pull to the first start") {
    ScriptedNode node;
    node.boot();
    node.pull(kCri, kAlien);
    CHECK(to_time(node.entry(kAlien).appeared_at()) == node.now);
    node.tick(seconds(4));
    node.start(kCri, kAlien, "c1");
    node.start(kCri, kAlien, "c2");
    CHECK(node.entry(kAlien).seconds_to_first_start() == doctest::Approx(5));
}

TEST_CASE("baked images that were never used") {
    const Spec alias = named(kApp, "reg.io/app:1.0");
    ScriptedNode node;
    node.bake(kTool);
    node.bake(kApp);
    node.bake(alias);
    node.bake(kAlien);
    node.boot();
    CHECK(node.accounts->report().never_used_size() == 4);
    node.start(kCri, kApp, "c1");
    v1::Ledger ledger = node.accounts->report();
    REQUIRE(ledger.never_used_size() == 2);
    CHECK(ledger.never_used(0).name() == kTool.name);
    CHECK(ledger.never_used(0).bytes() == 107);
    CHECK(ledger.never_used(1).name() == kAlien.name);
    CHECK(ledger.since_claim().hit_ratio() == 1);
    CHECK(ledger.since_claim().byte_hit_ratio() == 1);
    CHECK(node.accounts->state().since_claim().hit_ratio() == 0);
    CHECK(node.accounts->usage(key_of(alias)).starts == 1);
    CHECK(node.accounts->usage(key_of(kTool)).starts == 0);
    CHECK(node.accounts->usage(key_of(kApp)).last_used == node.now);
}

TEST_CASE("the least used of thousands of images are merged") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.start(kCri, kApp, "c0");
    for (int i = 0; i < 1100; ++i) {
        const std::string id = std::to_string(i);
        const Spec spec{.name = "reg.io/n" + id + ":1", .layers = {{"layer " + id, 1}}};
        node.pull(kCri, spec);
        node.start(kCri, spec, "one " + id);
        if (i < 10) node.start(kCri, spec, "two " + id);
    }
    v1::Ledger ledger = node.accounts->report();
    CHECK(ledger.images_size() == 1000);
    CHECK(ledger.folded() == 101);
    CHECK(ledger.other().misses() == 101);
    CHECK(ledger.other().bytes_pulled() == 101);
    CHECK(ledger.images(0).starts() == 2);
    CHECK(ledger.since_claim().starts() == 1111);
    CHECK(node.entry(kApp).hits() == 1);
    const Spec folded{.name = "reg.io/n10:1", .layers = {{"layer 10", 1}}};
    CHECK(node.entry(folded).starts() == 0);
    node.start(kCri, folded, "three");
    CHECK(node.entry(folded).misses() == 1);
    CHECK(node.totals().starts() == 1112);
    CHECK(node.restart() == 0);
    CHECK(node.totals().starts() == 1112);
    CHECK(node.totals().bytes_pulled() == 1100);
}

TEST_CASE("the oldest names are dropped beyond the limit") {
    ScriptedNode node;
    node.boot();
    const auto spec = [](int i) {
        return Spec{.name = "reg.io/n" + std::to_string(i) + ":1", .layers = {{"one", 1}}};
    };
    for (int i = 0; i < 4097; ++i) node.accounts->image_appeared(node.seen(kCri, spec(i)), {});
    CHECK(node.accounts->is_news(kCri, spec(0).name, spec(0).target()));
    CHECK_FALSE(node.accounts->is_news(kCri, spec(1).name, spec(1).target()));
    CHECK_FALSE(node.accounts->is_news(kCri, spec(4096).name, spec(4096).target()));
}

TEST_CASE("changes are reported once; pins that were set again count") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    CHECK(node.accounts->take_changed());
    CHECK_FALSE(node.accounts->take_changed());
    node.accounts->snapshot_prepared(kCri, "c1", "c0");
    node.accounts->snapshot_removed(kCri, "c9", node.now);
    CHECK_FALSE(node.accounts->take_changed());
    node.accounts->repinned(kCri, kApp.name);
    CHECK(node.accounts->take_changed());
    CHECK(node.entry(kApp).repins() == 1);
    node.start(kCri, kApp, "c1");
    CHECK(node.accounts->take_changed());
}

}  // namespace
}  // namespace prebake::ledger
