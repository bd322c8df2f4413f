#include "agent/daemon/node_loop.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/daemon/node_scene.h"
#include "tests/unit/daemon/scripted_docker.h"

namespace prebake::daemon::node_loop_test {

/// A node with one image in dockerd's graph driver.
struct DockerNode {
    ScriptedDocker docker;
    Scene at{{}, [this](const std::stop_token& stop) { return docker.connect(stop); }};

    DockerNode() {
        v1::BakeRecord record;
        *record.add_images() = recorded_image(kName, {"base", "app"});
        store::write_record(at.state_dir.path(), record);
        docker.name(kName, engine_image({"base", "app"}));
    }
    View until_state(const std::string& state) {
        return at.until([&](const NodeView& view) {
            return view.status.images_size() == 1 && view.status.images(0).state() == state;
        });
    }
    void lose_the_tag() {
        docker.remove_name(kName);
        docker.happens("image", "untag", engine_image({"base", "app"}).id);
    }
};

TEST_CASE("a node whose images are in a graph driver needs dockerd, and no containerd") {
    DockerNode node;
    node.at.containerd.stop();
    node.docker.set_up(false);
    node.at.start();
    const View waiting = node.at.until([](const NodeView& view) {
        return contains(condition(view, "StoreMatches").message(), "nothing listens");
    });
    CHECK(waiting->status.verdict() == "starting");
    CHECK(condition(*waiting, "StoreMatches").reason() == "NotAnswering");
    CHECK(contains(condition(*waiting, "ImagesPresent").message(), "when dockerd answers"));

    node.docker.set_up(true);
    const View ready = node.at.until_ready();
    CHECK(ready->status.verdict() == "ready");
    CHECK(condition(*ready, "ContainerdServing").status() == "NotApplicable");
    CHECK(condition(*ready, "CriResolves").status() == "NotApplicable");
    CHECK(condition(*ready, "ImagesPinned").status() == "NotApplicable");
    CHECK(condition(*ready, "StoreMatches").reason() == "SameStore");
    REQUIRE(ready->status.images_size() == 1);
    CHECK(ready->status.images(0).state() == "usable");
    CHECK(ready->status.images(0).namespace_() == "moby");

    // What was known of the images stays.
    node.docker.set_up(false);
    const View away = node.at.until(
        [](const NodeView& view) { return condition(view, "StoreMatches").status() == "Unknown"; });
    CHECK(away->status.ready());
    CHECK(away->status.verdict() == "degraded");
}

TEST_CASE("containers of a graph driver are counted once, whatever stops") {
    DockerNode node;
    node.at.start();
    node.at.until_ready();
    node.docker.name("app:1", engine_image({"base", "app"}));
    node.docker.runs("c1", "app:1");
    const auto has_hits = [](std::uint64_t hits) {
        return [hits](const NodeView& view) { return view.ledger.boot().hits() == hits; };
    };
    node.at.until(has_hits(1));
    const docker::EngineContainer first{.id = "c1",
                                        .image = "app:1",
                                        .image_id = engine_image({"base", "app"}).id,
                                        .has_started = true,
                                        .created_at = std::chrono::system_clock::now()};
    docker::EngineContainer second = first;
    second.id = "c2";
    node.docker.add_container(first);
    SUBCASE("dockerd") {
        node.docker.set_up(false);
        node.docker.add_container(second);
        node.docker.set_up(true);
    }
    SUBCASE("the daemon") {
        node.at.stop();
        node.docker.add_container(second);
        node.at.make_loop();
        node.at.start();
    }
    SUBCASE("containerd") {
        node.docker.add_container(second);
        node.at.containerd.stop();
        node.at.containerd.start();
    }
    const View counted = node.at.until(has_hits(2));
    CHECK(counted->ledger.boot().starts() == 2);
    node.docker.happens("container", "start", "c2");
    node.docker.runs("c3", "app:1");
    const View last = node.at.until(has_hits(3));
    CHECK(last->ledger.boot().starts() == 3);
    CHECK(last->status.images(0).starts() == 3);
}

TEST_CASE("a tag comes back once, and a user who deletes it again is left alone") {
    DockerNode node;
    node.at.start();
    node.at.until_ready();
    node.lose_the_tag();
    const View repaired = node.until_state("repaired");
    CHECK(node.docker.has(kName));
    REQUIRE(repaired->status.repairs_size() == 1);
    CHECK(repaired->status.repairs(0).what() == "recreated the name");

    node.lose_the_tag();
    const View removed = node.until_state("removed");
    CHECK(removed->status.ready());
    CHECK(removed->status.verdict() == "degraded");
    CHECK(condition(*removed, "BakeIntact").reason() == "Removed");
    CHECK(removed->status.counts().removed() == 1);
    CHECK(removed->status.counts().unusable() == 0);
    CHECK_FALSE(node.docker.has(kName));

    node.at.stop();
    node.at.make_loop();
    node.at.start();
    CHECK(node.until_state("removed")->status.ready());
    CHECK_FALSE(node.docker.has(kName));
}

TEST_CASE("a dockerd with another store is named") {
    DockerNode node;
    docker::EngineInfo info = node.docker.info();
    info.version = "29.1.0";
    info.uses_containerd_store = true;
    info.driver = "overlayfs";
    node.docker.set_info(info);
    node.at.start();
    const View view = node.at.until([](const NodeView& one) {
        return condition(one, "StoreMatches").reason() == "StoreMismatch" &&
               one.status.verdict() != "starting";
    });
    CHECK(contains(condition(*view, "StoreMatches").message(),
                   "Docker 29.1.0 with the containerd store (overlayfs)"));
    CHECK(condition(*view, "ImagesPresent").reason() == "ImagesMissing");
}

TEST_CASE("a node without images for Docker never asks dockerd") {
    DockerNode node;
    node.at.bake();
    node.at.start();
    const View ready = node.at.until_ready();
    CHECK(condition(*ready, "StoreMatches").status() == "NotApplicable");
    CHECK(node.docker.connections() == 0);
}

}  // namespace prebake::daemon::node_loop_test
