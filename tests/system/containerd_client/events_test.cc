// The events of containerd.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "agent/containerd/call.h"
#include "agent/containerd/content.h"
#include "agent/containerd/events.h"
#include "agent/containerd/images.h"
#include "agent/containerd/snapshots.h"
#include "proto/containerd/event_payloads.pb.h"
#include "proto/containerd/events.grpc.pb.h"
#include "tests/system/containerd_client/daemon_under_test.h"
#include "tests/system/containerd_client/private_containerd.h"

namespace prebake::containerd {
namespace {

using test::blob_of;
using test::error_from;
using test::PrivateContainerd;
using test::socket_under_test;
using test::TestNamespace;
using test::unique_bytes;

constexpr std::chrono::seconds kPatience{20};

/// Follows the events of one namespace on its own thread.
class Follower {
  public:
    Follower(const std::string& socket, std::string ns)
        : ns_(std::move(ns)), connection_(socket, stop_.get_token()) {
        end_ = std::async(std::launch::async, [this] {
            follow_events(
                connection_, [this] { subscribed_.set_value(); },
                [this](Event event) { add(std::move(event)); });
        });
        auto subscribed = subscribed_.get_future();
        REQUIRE(subscribed.wait_for(kPatience) == std::future_status::ready);
    }
    ~Follower() { stop_.request_stop(); }
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;

    Event next() {
        std::unique_lock lock(mutex_);
        REQUIRE(changed_.wait_for(lock, kPatience, [this] { return !events_.empty(); }));
        Event event = std::move(events_.front());
        events_.pop_front();
        return event;
    }
    Event next(EventKind kind, const std::string& object) {
        Event event = next();
        CHECK(static_cast<int>(event.kind) == static_cast<int>(kind));
        CHECK(event.object == object);
        CHECK(event.ns == ns_);
        return event;
    }
    bool is_empty() {
        const std::scoped_lock lock(mutex_);
        return events_.empty();
    }
    void request_stop() { stop_.request_stop(); }
    /// The error that ended it.
    void join() {
        REQUIRE(end_.wait_for(kPatience) == std::future_status::ready);
        end_.get();
    }

  private:
    void add(Event event) {
        if (event.ns != ns_) return;
        {
            const std::scoped_lock lock(mutex_);
            events_.push_back(std::move(event));
        }
        changed_.notify_all();
    }

    std::string ns_;
    std::stop_source stop_;
    Connection connection_;
    std::promise<void> subscribed_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Event> events_;
    std::future<void> end_;
};

/// Every client of containerd may publish anything.
void publish(const TestNamespace& ns, const std::string& topic, const std::string& type,
             const std::string& payload) {
    namespace api = ::containerd::services::events::v1;
    api::PublishRequest request;
    request.set_topic(topic);
    request.mutable_event()->set_type_url(type);
    request.mutable_event()->set_value(payload);
    google::protobuf::Empty nothing;
    check(invoke(ns.connection(), ns.scope(), &api::Events::Stub::Publish, request, nothing,
                 kReadTimeout),
          ns.connection(), "publish");
}

TEST_CASE("events come in order, from the first one after the subscription on") {
    // The first event is predictable only if the subscription is known to be active.
    for (int round = 0; round < 5; ++round) {
        CAPTURE(round);
        const TestNamespace ns;
        const Images images(ns.connection(), ns.scope());
        const auto target = blob_of("a", "application/vnd.oci.image.manifest.v1+json");
        images.put({.name = "example.org/before:1", .labels = {}, .target = target});
        const auto before = std::chrono::system_clock::now() - std::chrono::seconds(1);
        Follower follower(socket_under_test(), ns.scope().ns);

        const std::string name = "example.org/a:1";
        images.put({.name = name, .labels = {{"test/label", "x"}}, .target = target});
        images.put({.name = name, .labels = {{"test/label", "y"}}, .target = target});
        images.remove(name);
        const Snapshots snapshots(ns.connection(), ns.scope(), "overlayfs");
        REQUIRE(snapshots.prepare("bottom key", "", {}));
        snapshots.commit("bottom", "bottom key", {});
        REQUIRE(snapshots.prepare("child", "bottom", {}));
        snapshots.remove("child");

        const Event created = follower.next(EventKind::image_created, name);
        CHECK(created.labels == Labels{{"test/label", "x"}});
        CHECK(created.at > before);
        CHECK(created.at < before + std::chrono::minutes(1));
        CHECK(follower.next(EventKind::image_updated, name).labels == Labels{{"test/label", "y"}});
        follower.next(EventKind::image_deleted, name);
        CHECK(follower.next(EventKind::snapshot_prepared, "bottom key").parent.empty());
        CHECK(follower.next(EventKind::snapshot_committed, "bottom key").name == "bottom");
        const Event prepared = follower.next(EventKind::snapshot_prepared, "child");
        CHECK(prepared.parent == "bottom");
        // 1.6 does not report it.
        CHECK((prepared.snapshotter.empty() || prepared.snapshotter == "overlayfs"));
        follower.next(EventKind::snapshot_removed, "child");
    }
}

TEST_CASE("a deleted blob is an event") {
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    const std::string bytes = unique_bytes(100);
    content.put("x", blob_of(bytes), bytes, {});
    Follower follower(socket_under_test(), ns.scope().ns);
    content.remove(blob_of(bytes).digest);
    follower.next(EventKind::blob_deleted, blob_of(bytes).digest.str());
}

TEST_CASE("other events are skipped") {
    const TestNamespace ns;
    Follower follower(socket_under_test(), ns.scope().ns);
    ::containerd::events::SnapshotRemove payload;
    payload.set_key("key");
    const std::string good = payload.SerializeAsString();
    const std::string type = "containerd.events.SnapshotRemove";
    struct Row {
        const char* name;
        std::string topic;
        std::string type;
        std::string payload;
    };
    const Row rows[] = {
        {"another type than the topic's", "/snapshot/remove", "containerd.events.ContentDelete",
         good},
        {"no type that anybody knows", "/snapshot/remove", "example.org/Unknown", good},
        {"a topic that we do not follow", "/snapshot/other", type, good},
        {"the fence of another subscriber", "/prebake/subscribed/0123456789abcdef", type, good},
        {"no object", "/snapshot/remove", type, ""},
        {"cut off", "/snapshot/remove", type, good.substr(0, good.size() - 1)},
        {"too large", "/snapshot/remove", type,
         [] {
             ::containerd::events::SnapshotRemove large;
             large.set_key(std::string(2 << 20, 'x'));
             return large.SerializeAsString();
         }()},
    };
    for (const Row& row : rows) publish(ns, row.topic, row.type, row.payload);
    publish(ns, "/snapshot/remove", "type.googleapis.com/" + type, good);
    follower.next(EventKind::snapshot_removed, "key");
    CHECK(follower.is_empty());
}

TEST_CASE("following ends after a stop request, and when containerd dies") {
    PrivateContainerd daemon;
    Follower follower(daemon.socket(), "nobody");
    SUBCASE("a stop") {
        follower.request_stop();
        error_from(Errc::cancelled, [&] { follower.join(); });
    }
    SUBCASE("a crash") {
        daemon.kill();
        const auto message = error_from(Errc::unavailable, [&] { follower.join(); });
        CHECK(message.find("containerd's events") != std::string::npos);
        // There is no daemon to subscribe to.
        const Connection connection(daemon.socket(), {});
        error_from(Errc::unavailable, [&] {
            follow_events(
                connection, [] { FAIL("subscribed to a dead daemon"); }, [](const Event&) {});
        });
        daemon.start();
        const TestNamespace ns(daemon.socket());
        Follower again(daemon.socket(), ns.scope().ns);
        REQUIRE(
            Snapshots(ns.connection(), ns.scope(), "overlayfs").prepare("key", "", {}).has_value());
        again.next(EventKind::snapshot_prepared, "key");
    }
}

TEST_CASE("a stop request while subscribing to a frozen daemon") {
    PrivateContainerd daemon;
    std::stop_source stop;
    const Connection connection(daemon.socket(), stop.get_token());
    connection.version();
    daemon.freeze();
    auto running = std::async(std::launch::async, [&] {
        follow_events(
            connection, [] {}, [](const Event&) {});
    });
    const bool hung =
        running.wait_for(std::chrono::milliseconds(300)) == std::future_status::timeout;
    stop.request_stop();
    const bool ended = running.wait_for(std::chrono::minutes(2)) == std::future_status::ready;
    daemon.thaw();
    CHECK(hung);
    REQUIRE(ended);
    error_from(Errc::cancelled, [&] { running.get(); });
}

}  // namespace
}  // namespace prebake::containerd
