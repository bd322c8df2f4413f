#include "agent/daemon/engine_watch.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <variant>
#include <vector>

#include "tests/unit/daemon/scripted_docker.h"

namespace prebake::daemon::engine_watch_test {

using namespace std::chrono_literals;

/// Only a defect takes that long.
constexpr auto kHang = 60s;
const std::string kName = "docker.io/library/app:1";

struct Scene {
    ScriptedDocker docker;
    EventQueue queue{100};
    v1::BakeRecord record;
    std::unique_ptr<EngineWatch> watch;

    Scene() { *record.add_images() = recorded_image(kName, {"base", "app"}); }

    void start() {
        watch = std::make_unique<EngineWatch>(
            EngineAccess{
                .connect = [this](const std::stop_token& stop) { return docker.connect(stop); },
                .check = store::check_engine,
                .read_file = [] { return docker::DaemonFile(); }},
            queue, record);
    }
    /// The next wakeup of this kind; others before it are dropped.
    template <typename News>
    News next() {
        const auto deadline = std::chrono::steady_clock::now() + kHang;
        for (;;) {
            const auto wakeup = queue.pop(deadline);
            REQUIRE_MESSAGE(wakeup, "never told");
            if (const auto* news = std::get_if<News>(&*wakeup)) return *news;
        }
    }
    template <typename Condition>
    EngineSeen seen_with(Condition condition) {
        for (;;) {
            EngineSeen seen = next<EngineSeen>();
            if (condition(seen)) return seen;
        }
    }
};

TEST_CASE("a session with dockerd: what it is, what it has, what happens") {
    Scene at;
    at.docker.name(kName, engine_image({"base", "app"}));
    at.docker.add_container({.id = "c1",
                             .image = "app:1",
                             .image_id = engine_image({"base", "app"}).id,
                             .has_started = true});
    at.start();
    CHECK(at.next<EngineAnswered>().info.version == "20.10.24");
    const EngineSeen seen = at.next<EngineSeen>();
    CHECK(seen.findings.empty());
    CHECK(seen.images.contains(kName));
    REQUIRE(seen.containers);
    REQUIRE(seen.containers->size() == 1);
    CHECK_MESSAGE(
        seen.images.at(seen.containers->at(0).image).id == engine_image({"base", "app"}).id,
        "by its ID, because that name is not there");

    SUBCASE("a container, with the name of its image") {
        at.docker.name("app", engine_image({"base", "app"}));
        at.docker.happens("container", "exec_start: sh", "c1");
        at.docker.runs("c2", "app");
        const EngineHappened created = at.next<EngineHappened>();
        CHECK(created.event.action == "create");
        CHECK(created.event.id == "c2");
        CHECK(created.image_name == "docker.io/library/app:latest");
        CHECK(at.next<EngineHappened>().event.action == "start");
    }
    SUBCASE("a container of a short ID") {
        const docker::EngineImage image = engine_image({"base", "app"});
        const std::string written = image.id.substr(7, 12);
        at.docker.name(written, image);
        at.docker.runs("c2", written);
        CHECK(at.next<EngineHappened>().image_name == image.id);
    }
    SUBCASE("a pull comes before the container that waits for it") {
        at.docker.name("other:2", engine_image({"base", "other"}));
        at.docker.happens("image", "pull", "other:2");
        at.docker.runs("c2", "other:2");
        const EngineSeen pulled = at.next<EngineSeen>();
        CHECK(pulled.news == std::set<std::string>{"docker.io/library/other:2"});
        CHECK_FALSE(pulled.containers);
        CHECK(at.next<EngineHappened>().image_name == "docker.io/library/other:2");
    }
    SUBCASE("a tag that is lost, and restored") {
        at.docker.remove_name(kName);
        at.docker.happens("image", "untag", engine_image({"base", "app"}).id);
        const EngineSeen lost = at.next<EngineSeen>();
        REQUIRE(lost.findings.size() == 1);
        CHECK_FALSE(lost.images.contains(kName));
        at.watch->tag({{.key = {}, .image_id = engine_image({"base", "app"}).id, .name = kName}});
        const EngineSeen back =
            at.seen_with([](const EngineSeen& news) { return !news.tagged.empty(); });
        CHECK_FALSE(back.tagged[0].problem);
        CHECK(back.findings.empty());
        CHECK(at.docker.has(kName));
    }
    SUBCASE("an image that is gone cannot be named again") {
        at.docker.remove_image(engine_image({"base", "app"}).id);
        at.watch->tag({{.key = {}, .image_id = engine_image({"base", "app"}).id, .name = kName}});
        const EngineSeen told =
            at.seen_with([](const EngineSeen& news) { return !news.tagged.empty(); });
        REQUIRE(told.tagged[0].problem);
        CHECK(told.tagged[0].problem->code() == Errc::not_found);
    }
    SUBCASE("dockerd restarts") {
        at.docker.set_up(false);
        CHECK(at.next<EngineGone>().error.code() == Errc::unavailable);
        at.docker.set_up(true);
        at.docker.runs("c9", "app:1");
        at.docker.happens("container", "destroy", "c9");
        at.watch->look_at(at.record);
        at.next<EngineAnswered>();
        CHECK(at.next<EngineSeen>().containers);
        CHECK_MESSAGE(at.next<EngineHappened>().event.id == "c9", "before we were back");
    }
    SUBCASE("nothing comes twice if the stream breaks") {
        at.docker.happens("container", "start", "c1");
        CHECK(at.next<EngineHappened>().event.id == "c1");
        at.docker.break_streams();
        at.next<EngineGone>();
        at.docker.happens("container", "start", "c2");
        CHECK(at.next<EngineHappened>().event.id == "c2");
    }
    SUBCASE("somebody asks for everything") {
        at.watch->look_at({});
        CHECK(at.next<EngineSeen>().containers);
    }
}

TEST_CASE("a dockerd with the containerd store is only asked what it is") {
    Scene at;
    docker::EngineInfo info = at.docker.info();
    info.uses_containerd_store = true;
    at.docker.set_info(info);
    at.start();
    CHECK(at.next<EngineAnswered>().info.uses_containerd_store);
    at.docker.runs("c1", "app:1");
    at.docker.set_up(false);
    const auto wakeup = at.queue.pop(std::chrono::steady_clock::now() + kHang);
    REQUIRE(wakeup);
    CHECK(std::holds_alternative<EngineGone>(*wakeup));
}

TEST_CASE("a dockerd that is not there is asked again") {
    Scene at;
    at.docker.set_up(false);
    at.start();
    CHECK(at.next<EngineGone>().error.message() == "nothing listens on /run/docker.sock");
    at.docker.set_up(true);
    CHECK(at.next<EngineAnswered>().info.driver == "overlay2");
}

}  // namespace prebake::daemon::engine_watch_test
