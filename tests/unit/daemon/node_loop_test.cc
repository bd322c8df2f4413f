#include "agent/daemon/node_loop.h"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/timestamp.h"
#include "tests/unit/daemon/node_scene.h"

namespace prebake::daemon::node_loop_test {

/// What the ledger has of the baked image, under any of its names.
v1::LedgerImage counted(const v1::Ledger& ledger) {
    for (const v1::LedgerImage& image : ledger.images()) {
        if (image.name() == kName) return image;
    }
    return {};
}

/// Blocks a method until its call is cancelled.
Status wait_for_cancellation(const ServerContext& context) {
    while (!context.IsCancelled()) std::this_thread::sleep_for(5ms);
    return Status::CANCELLED;
}

TEST_CASE("a node without containerd is not ready, and is as soon as containerd answers") {
    Scene at;
    at.containerd.stop();
    at.start();
    const View first = at.until([](const NodeView&) { return true; });
    CHECK(first->status.verdict() == "starting");
    CHECK(contains(first->status.message(), "containerd was not asked yet"));
    const View asked = at.until([](const NodeView& view) {
        return contains(view.status.message(), "the socket does not exist");
    });
    CHECK(asked->status.verdict() == "starting");
    CHECK_FALSE(asked->status.ready());
    CHECK_FALSE(is_serving(*asked));
    CHECK(condition(*asked, "ImagesPresent").status() == "Unknown");

    at.containerd.start();
    const View ready = at.until_ready();
    CHECK(ready->status.verdict() == "ready");
    CHECK(is_serving(*ready));
    CHECK(condition(*ready, "ImagesPresent").reason() == "NothingBaked");
    CHECK(ready->status.containerd_version() == "2.0.0");
    CHECK(ready->status.times().has_ready_at());
}

TEST_CASE("a baked image that is in containerd is usable") {
    Scene at;
    at.bake();
    at.start();
    const View ready = at.until_ready();
    CHECK(ready->status.verdict() == "ready");
    CHECK(ready->status.snapshotter() == "overlayfs");
    CHECK(condition(*ready, "ImagesPresent").reason() == "AllPresent");
    REQUIRE(ready->status.images_size() == 1);
    CHECK(ready->status.images(0).state() == "usable");
    CHECK(ready->status.images(0).pinned());
    CHECK_MESSAGE(at.containerd.calls("Images.Update") == 0, "nothing had to be repaired");
}

TEST_CASE("a containerd that ignores pins is found out by what CRI reports") {
    Scene at;
    at.bake();
    at.containerd.ignore_pins();
    at.start();
    const View ready = at.until_ready();
    CHECK(ready->status.verdict() == "ready");
    CHECK(condition(*ready, "ImagesPinned").reason() == "PinsIgnored");
    CHECK_FALSE(ready->status.images(0).pinned());
    CHECK(ready->status.counts().pinned() == 0);
    CHECK(ready->status.counts().usable() == 1);
}

TEST_CASE("a lost pin is restored by the guard and counted by the ledger") {
    Scene at;
    at.bake();
    at.start_and_follow();
    at.containerd.remove_label(kCri, kName, kPinned);
    const View repinned =
        at.until([](const NodeView& view) { return counted(view.ledger).repins() > 0; });
    CHECK(counted(repinned->ledger).repins() == 1);
    CHECK(at.containerd.labels(kCri, kName) == store::name_labels(kCri, store::Pin::yes));
    REQUIRE(repinned->status.repairs_size() == 1);
    CHECK(repinned->status.repairs(0).what() == "pinned again");
    CHECK(repinned->status.repairs(0).why() == "its label was removed");
    CHECK(repinned->status.images(0).state() == "repaired");
    // The loop looks at the image once for each event. Our own update is the second one, and the
    // third one shows that the second was processed.
    at.containerd.remove_label(kCri, kName, "no.such.label");
    REQUIRE(at.containerd.wait_for_calls("Images.Get", 3));
    at.stop();
    CHECK(at.containerd.calls("Images.Update") == 1);
    REQUIRE(at.stored_ledger().images_size() == 1);
    CHECK(at.stored_ledger().images(0).repins() == 1);
}

TEST_CASE("a container that starts from a baked image is a hit") {
    Scene at;
    at.bake();
    at.start_and_follow();
    const v1::BakeRecord record = store::read_record(at.state_dir.path());
    const std::string chain = record.images(0).chain_id();
    at.containerd.create_container(kCri, "fails-in-runc", record.images(0).name(), chain);
    at.containerd.create_container(kCri, "container-1", record.images(0).name(), chain);
    at.containerd.start_task(kCri, "container-1");
    const View started =
        at.until([](const NodeView& view) { return view.ledger.boot().starts() > 0; });
    CHECK(started->ledger.boot().starts() == 1);
    CHECK(started->ledger.boot().hits() == 1);
    CHECK(started->status.images(0).starts() == 1);
    at.stop();
    CHECK_MESSAGE(at.stored_ledger().boot().hits() == 1, "also if it was just counted");
}

TEST_CASE("when containerd restarts, the ledger has a gap and the images are checked again") {
    Scene at;
    at.bake();
    at.start_and_follow();
    const auto before = std::chrono::system_clock::now();
    at.containerd.stop();
    const View gone = at.until([](const NodeView& view) { return !is_serving(view); });
    CHECK(gone->status.verdict() == "not_ready");
    CHECK(contains(gone->status.message(), "ContainerdServing: "));
    const std::size_t checks = at.containerd.calls("Images.List");

    // A container starts before we follow events again: only a listing finds it.
    const v1::BakeRecord record = store::read_record(at.state_dir.path());
    at.containerd.create_container(kCri, "container-1", record.images(0).name(),
                                   record.images(0).chain_id());
    at.containerd.start_task(kCri, "container-1");
    at.containerd.start();
    const View ready = at.until_ready();
    CHECK(ready->status.verdict() == "ready");
    const View closed = at.until([](const NodeView& view) { return view.ledger.gaps_size() > 0; });
    REQUIRE(closed->ledger.gaps_size() == 1);
    const v1::Gap& gap = closed->ledger.gaps(0);
    CHECK(gap.cause() == "containerd_restarted");
    CHECK(to_time(gap.from()) >= before);
    CHECK(to_time(gap.to()) >= to_time(gap.from()));
    CHECK(gap.found_after() == 1);
    CHECK(closed->ledger.boot().hits() == 1);
    CHECK(at.containerd.calls("Images.List") == checks + 2);  // a check and a listing
    at.stop();
    CHECK(at.stored_ledger().gaps_size() == 1);
}

TEST_CASE("what an earlier containerd had does not make a node ready") {
    Scene at;
    at.bake();
    at.start_and_follow();
    at.containerd.stop();
    at.until([](const NodeView& view) { return !is_serving(view); });
    // The next one answers, but its events do not arrive: nothing can be checked.
    at.containerd.intercept([](ServerContext& context, const std::string& method) {
        return method == "Events.Subscribe" ? wait_for_cancellation(context) : Status::OK;
    });
    const std::size_t published = at.containerd.calls("Events.Publish");
    at.containerd.start();
    REQUIRE(at.containerd.wait_for_calls("Events.Publish", published + 2));
    at.advance(20s);
    const View answering = at.until([](const NodeView& view) { return is_serving(view); });
    CHECK(answering->status.verdict() == "starting");
    CHECK(condition(*answering, "ImagesPresent").status() == "Unknown");
}

TEST_CASE("containerd that stops answering is noticed without an event") {
    Scene at;
    at.start_and_follow();
    at.containerd.intercept([](ServerContext&, const std::string& method) {
        return method == "Version" ? Status(StatusCode::UNAVAILABLE, "frozen") : Status::OK;
    });
    at.advance(20s);
    const View silent = at.until([](const NodeView& view) { return !is_serving(view); });
    CHECK(silent->status.verdict() == "not_ready");
    CHECK(contains(silent->status.message(), "frozen"));
    at.containerd.intercept({});
    at.advance(20s);
    CHECK(is_serving(*at.until_ready()));
    CHECK_MESSAGE(at.containerd.calls("Events.Subscribe") == 1, "the stream goes on");
}

TEST_CASE("a reload reads the record again, and checks again only if that is asked for") {
    Scene at;
    v1::BakeRecord record;
    *record.add_images() = store::test::bake_into(at.containerd, kName);
    at.start();
    const View before = at.until_ready();
    CHECK(condition(*before, "ImagesPresent").reason() == "NothingBaked");
    REQUIRE(at.containerd.wait_for_calls("Images.List", 1));  // by the listing

    store::write_record(at.state_dir.path(), record);
    at.loop->reload(false);
    const View changed = at.until([](const NodeView& view) {
        return condition(view, "ImagesPresent").reason() == "AllPresent";
    });
    CHECK(changed->status.counts().baked() == 1);
    REQUIRE(at.containerd.wait_for_calls("Images.List", 3));  // by a check and a listing

    at.loop->reload(false);
    // An event is processed after what was requested before it.
    at.containerd.remove_label(kCri, kName, "no.such.label");
    REQUIRE(at.containerd.wait_for_calls("Images.Get", 1));
    CHECK_MESSAGE(at.containerd.calls("Images.List") == 3, "the record is the same");
    at.loop->reload(true);
    CHECK(at.containerd.wait_for_calls("Images.List", 4));
}

TEST_CASE("an unreadable record is reported, and the last one stays in use") {
    Scene at;
    at.bake();
    at.start_and_follow();
    const std::filesystem::path path = store::record_path(at.state_dir.path());
    std::filesystem::resize_file(path, 10);
    at.loop->reload(false);
    const View broken = at.until([](const NodeView& view) {
        return condition(view, "ImagesPresent").reason() == "RecordUnreadable";
    });
    CHECK(broken->status.verdict() == "not_ready");
    CHECK(broken->status.counts().baked() == 1);
    CHECK(broken->status.images_size() == 1);
}

TEST_CASE("a reload reads the claim again, and a new claim has counts of its own") {
    Scene at;
    at.bake();
    at.start_and_follow();
    const v1::BakeRecord record = store::read_record(at.state_dir.path());
    at.containerd.create_container(kCri, "container-1", record.images(0).name(),
                                   record.images(0).chain_id());
    at.containerd.start_task(kCri, "container-1");
    at.until([](const NodeView& view) { return view.ledger.since_claim().starts() > 0; });
    at.instance = "i-2";
    at.loop->reload(false);
    const View renewed =
        at.until([](const NodeView& view) { return view.status.instance().id() == "i-2"; });
    CHECK(renewed->status.verdict() == "ready");
    CHECK(renewed->ledger.claim().starts_with("i-2 "));
    CHECK_MESSAGE(renewed->ledger.since_claim().starts() == 0, "until what runs is listed");
    const View listed =
        at.until([](const NodeView& view) { return view.ledger.since_claim().starts() > 0; });
    CHECK(listed->ledger.since_claim().starts() == 1);
    CHECK_MESSAGE(at.containerd.calls("Namespaces.List") == 3, "once for the lease");
}

TEST_CASE("a check that fails is retried after growing delays") {
    std::mutex mutex;
    std::vector<SteadyClock::time_point> asked;
    Scene at;
    at.bake();
    at.containerd.intercept([&](ServerContext&, const std::string& method) {
        if (method != "Images.List") return Status::OK;
        const std::scoped_lock lock(mutex);
        asked.push_back(SteadyClock::now());
        return asked.size() < 4 ? Status(StatusCode::UNAVAILABLE, "busy") : Status::OK;
    });
    at.start();
    const View ready = at.until_ready();
    CHECK(ready->status.verdict() == "ready");
    CHECK_MESSAGE(ready->status.warnings_size() == 0, "the warning is over");
    CHECK_MESSAGE(at.containerd.calls("Events.Subscribe") == 1, "the stream did not end");
    const std::scoped_lock lock(mutex);
    REQUIRE(asked.size() >= 4);
    CHECK(asked[1] - asked[0] >= 100ms);
    CHECK(asked[2] - asked[1] >= 200ms);
    CHECK(asked[3] - asked[2] >= 400ms);
}

TEST_CASE("an event that cannot be processed has everything checked later") {
    Scene at;
    at.bake();
    at.start_and_follow();
    REQUIRE(at.containerd.wait_for_calls("Images.List", 2));
    at.containerd.intercept([](ServerContext&, const std::string& method) {
        return method == "Images.Get" ? Status(StatusCode::UNAVAILABLE, "busy") : Status::OK;
    });
    at.containerd.remove_label(kCri, kName, "no.such.label");
    REQUIRE(at.containerd.wait_for_calls("Images.Get", 1));
    // The loop has processed the event when it looks at the next one.
    at.containerd.remove_label(kCri, kName, "no.such.label");
    REQUIRE(at.containerd.wait_for_calls("Images.Get", 2));
    at.containerd.intercept({});
    at.advance(5s);
    CHECK(at.containerd.wait_for_calls("Images.List", 4));  // a check and a listing
}

TEST_CASE("a stop ends the loop promptly while containerd") {
    Scene at;
    SUBCASE("is not there") {
        at.containerd.stop();
        at.start();
        at.until([](const NodeView& view) {
            return contains(view.status.message(), "the socket does not exist");
        });
    }
    SUBCASE("does not answer") {
        at.containerd.intercept([](ServerContext& context, const std::string&) {
            return wait_for_cancellation(context);
        });
        at.start();
        REQUIRE(at.containerd.wait_for_calls("Version", 1));
    }
    SUBCASE("delivers no events") {
        at.containerd.intercept([](ServerContext& context, const std::string& method) {
            return method == "Events.Subscribe" ? wait_for_cancellation(context) : Status::OK;
        });
        at.start();
        REQUIRE(at.containerd.wait_for_calls("Events.Publish", 2));
    }
    SUBCASE("does not answer a check") {
        at.bake();
        at.containerd.intercept([](ServerContext& context, const std::string& method) {
            return method == "Images.List" ? wait_for_cancellation(context) : Status::OK;
        });
        at.start();
        REQUIRE(at.containerd.wait_for_calls("Images.List", 1));
    }
    SUBCASE("is followed") {
        at.start_and_follow();
    }
    const auto before = SteadyClock::now();
    at.stop();
    // A call that nobody cancels takes a minute.
    CHECK(SteadyClock::now() - before < 30s);
    CHECK(at.stored_ledger().claim().starts_with("i-1 "));
    CHECK_MESSAGE(at.stored_ledger().has_updated_at(), "the ledger was written");
}

TEST_CASE("two daemons do not share a state directory") {
    Scene at;
    at.start_and_follow();
    report::StatusHolder holder;
    NodeLoop other({.address = at.containerd.socket(),
                    .state_dir = at.state_dir.path(),
                    .gates = {},
                    .pin_limits = {},
                    .snapshotter = {},
                    .prebake_version = {},
                    .identity = {},
                    .configured_runtime = {},
                    .order_problems = {},
                    .note = {}},
                   holder);
    CHECK(thrown_by([&] { other.run({}); }).code() == Errc::conflict);
}

}  // namespace prebake::daemon::node_loop_test
