#include "agent/daemon/node_loop.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/timestamp.h"
#include "agent/guard/baked_lease.h"
#include "agent/ledger/ledger_file.h"
#include "agent/store/labels.h"
#include "agent/store/names.h"
#include "agent/store/record.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/memory_containerd.h"
#include "tests/unit/store/baked_into.h"
#include "tests/unit/temporary_directory.h"

using namespace std::chrono_literals;

namespace prebake::daemon {
namespace {

using containerd::fake::MemoryContainerd;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using report::NodeView;
using tests::contains;
using tests::thrown_by;
using View = std::shared_ptr<const NodeView>;
using SteadyClock = std::chrono::steady_clock;

/// Only a defect takes that long.
constexpr auto kHang = 60s;

const std::string kCri(store::kCriNamespace);
const std::string kName = "docker.io/library/app:1";
const std::string kPinned(store::kPinnedLabel);

/// The real time, and what the test adds to it.
class TestClock {
  public:
    TimeSource source() const {
        return [this] {
            Moment moment = current_moment();
            const std::chrono::nanoseconds ahead(ahead_.load());
            moment.steady += ahead;
            moment.wall += ahead;
            moment.uptime += ahead;
            return moment;
        };
    }
    void advance(std::chrono::nanoseconds by) { ahead_ += by.count(); }

  private:
    std::atomic<std::chrono::nanoseconds::rep> ahead_ = 0;
};

report::IdentityFacts claimed_by(const std::string& instance) {
    report::IdentityFacts facts;
    facts.claim.set_state(v1::Claim::CLAIMED);
    facts.claim.mutable_instance()->set_id(instance);
    return facts;
}

/// A loop on its own thread, and a containerd for it.
struct Scene {
    MemoryContainerd containerd;
    TemporaryDirectory state_dir;
    TestClock clock;
    std::atomic<const char*> instance = "i-1";
    report::StatusHolder holder;
    std::mutex mutex;
    std::condition_variable published;
    std::vector<View> views;  ///< all that were published
    std::size_t seen = 0;     ///< how many of them until() has looked at
    std::unique_ptr<NodeLoop> loop;
    std::jthread thread;

    Scene() {
        containerd.serve_cri();
        // Called after each change, so that no view is missed, however short it lasts.
        holder.on_publish([this] {
            const std::scoped_lock lock(mutex);
            views.push_back(holder.latest());
            published.notify_all();
        });
        loop = std::make_unique<NodeLoop>(
            NodeLoopOptions{.address = containerd.socket(),
                            .state_dir = state_dir.path(),
                            .gates = {"ContainerdServing", "ImagesPresent", "ImagesUnpacked"},
                            .pin_limits = {},
                            .snapshotter = {},
                            .prebake_version = "1",
                            .identity = [this] { return claimed_by(instance.load()); },
                            .configured_runtime = {},
                            .order_problem = {},
                            .note = {},
                            .clock = clock.source()},
            holder);
    }
    ~Scene() { stop(); }

    void bake() {
        v1::BakeRecord record;
        *record.add_images() = store::test::bake_into(containerd, kName);
        store::write_record(state_dir.path(), record);
    }
    void start() {
        thread = std::jthread([this](const std::stop_token& end) { loop->run(end); });
    }
    /// Returns when run() has returned.
    void stop() { thread = {}; }

    /// The first view after those of earlier calls for which `is_wanted` is true.
    View until(const std::function<bool(const NodeView&)>& is_wanted) {
        std::unique_lock lock(mutex);
        View found;
        const bool is_found = published.wait_for(lock, kHang, [&] {
            while (!found && seen < views.size()) {
                if (is_wanted(*views[seen])) found = views[seen];
                ++seen;
            }
            return found != nullptr;
        });
        const std::string last = views.empty() ? "" : views.back()->status.DebugString();
        REQUIRE_MESSAGE(is_found, "never published; the last view is ", last);
        return found;
    }
    View until_ready() {
        return until([](const NodeView& view) { return view.status.ready(); });
    }
    /// Returns when what runs has been listed, which is the end of what a new session does.
    void start_and_follow() {
        start();
        until_ready();
        REQUIRE(containerd.wait_for_calls("Namespaces.List", 1));
    }
    /// Lets time pass for the loop, which has to look at its clock again.
    void advance(std::chrono::seconds by) {
        clock.advance(by);
        loop->reload(false);
    }
    v1::LedgerState stored_ledger() const {
        std::string warning;
        v1::LedgerState ledger = ledger::read_ledger(state_dir.path(), warning);
        CHECK(warning.empty());
        return ledger;
    }
};

const v1::Condition& condition(const NodeView& view, const std::string& type) {
    const auto& conditions = view.status.conditions();
    const auto found = std::find_if(conditions.begin(), conditions.end(),
                                    [&](const v1::Condition& one) { return one.type() == type; });
    REQUIRE(found != conditions.end());
    return *found;
}

bool is_serving(const NodeView& view) {
    return condition(view, "ContainerdServing").status() == "True";
}

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

TEST_CASE("a lease keeps what was baked") {
    Scene at;
    at.bake();
    at.start();
    at.until_ready();
    REQUIRE(at.containerd.wait_for_calls("Leases.AddResource", 1));
    at.stop();
    const v1::BakeRecord record = store::read_record(at.state_dir.path());
    const std::set<std::string> target{record.images(0).target().digest()};
    CHECK_MESSAGE(at.containerd.leased(kCri, guard::BakedLease::kId) == target,
                  "also after the daemon has stopped");
}

TEST_CASE("without CRI nothing says that pods find the images") {
    Scene at;
    at.containerd.server().runtime.version = {};
    at.bake();
    at.start();
    const View ready = at.until_ready();
    CHECK(ready->status.verdict() == "degraded");
    CHECK(condition(*ready, "CriResolves").status() == "Unknown");
    CHECK(condition(*ready, "CriResolves").reason() == "CriDisabled");
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
                    .order_problem = {},
                    .note = {}},
                   holder);
    CHECK(thrown_by([&] { other.run({}); }).code() == Errc::conflict);
}

}  // namespace
}  // namespace prebake::daemon
