#include "agent/containerd/events.h"

#include <doctest/doctest.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/containerd/event_decoding.h"
#include "proto/containerd/event_payloads.pb.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::containerd::events_test {

using fake::events::Envelope;
using grpc::Status;
using grpc::StatusCode;
using tests::contains;
using tests::thrown_by;

Envelope blob_deleted(const std::string& digest) {
    ::containerd::events::ContentDelete payload;
    payload.set_digest(digest);
    Envelope envelope;
    envelope.set_topic("/content/delete");
    envelope.mutable_event()->set_type_url(payload.GetDescriptor()->full_name());
    envelope.mutable_event()->set_value(payload.SerializeAsString());
    return envelope;
}

/// A containerd that delivers published events, the first one only at its second publication.
struct Fixture {
    fake::Containerd server;
    std::stop_source stop;
    Connection connection{server.socket(), stop.get_token()};
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<fake::events::PublishRequest> published;
    std::vector<std::string> filters;
    std::vector<Envelope> later;  ///< sent after the fence
    Status end = Status::OK;      ///< after them
    bool is_endless = false;
    std::vector<std::string> log;  ///< calls of the two functions

    Fixture() {
        server.events.publish = [this](auto&, const auto& request, auto&) {
            const std::lock_guard lock(mutex);
            published.push_back(request);
            changed.notify_all();
            return Status::OK;
        };
        server.events.subscribe = [this](auto& context, const auto& request, auto& stream) {
            std::unique_lock lock(mutex);
            filters.assign(request.filters().begin(), request.filters().end());
            // Another subscriber's fence does not count.
            Envelope other;
            other.set_topic("/prebake/subscribed/0000000000000000");
            stream.Write(other);
            while (published.size() < 2 && !context.IsCancelled()) {
                changed.wait_for(lock, std::chrono::milliseconds(10));
            }
            if (published.empty()) return Status::CANCELLED;
            Envelope fence;
            fence.set_topic(published.back().topic());
            *fence.mutable_event() = published.back().event();
            stream.Write(blob_deleted("before"));
            stream.Write(fence);
            for (const Envelope& envelope : later) stream.Write(envelope);
            while (is_endless && !context.IsCancelled()) {
                changed.wait_for(lock, std::chrono::milliseconds(10));
            }
            return end;
        };
    }

    ~Fixture() { server.stop(); }

    Error follow() {
        return thrown_by([&] {
            follow_events(
                connection, [&] { log.push_back("subscribed"); },
                [&](const Event& event) {
                    log.push_back(event.object);
                    if (event.object == "stop") stop.request_stop();
                });
        });
    }
};

TEST_CASE("events are reported from the subscription on") {
    Fixture at;
    at.later = {blob_deleted("a"), Envelope(), blob_deleted("b")};
    const Error error = at.follow();
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "containerd has ended the stream"));
    CHECK(at.log == std::vector<std::string>{"subscribed", "a", "b"});
    REQUIRE(at.filters.size() == event_topics().size() + 1);
    CHECK(at.filters[0] == "topic==\"/images/create\"");
    CHECK(at.filters.back() == "topic==\"" + at.published[0].topic() + "\"");
    CHECK(at.published[0].topic().starts_with("/prebake/subscribed/"));
}

TEST_CASE("a stream that fails means that the caller has to subscribe again") {
    for (const StatusCode code :
         {StatusCode::UNKNOWN, StatusCode::INTERNAL, StatusCode::UNAVAILABLE}) {
        CAPTURE(code);
        Fixture at;
        at.end = Status(code, "broken");
        const Error error = at.follow();
        CHECK(error.code() == Errc::unavailable);
        CHECK(contains(error.message(), "broken"));
    }
}

TEST_CASE("a stop request ends following") {
    Fixture at;
    at.is_endless = true;
    at.later = {blob_deleted("stop")};
    CHECK(at.follow().code() == Errc::cancelled);
}

TEST_CASE("an event that cannot be published is an error") {
    Fixture at;
    at.server.events.publish = [](auto&, const auto&, auto&) {
        return Status(StatusCode::PERMISSION_DENIED, "not you");
    };
    const Error error = at.follow();
    CHECK(error.code() == Errc::permission_denied);
    CHECK(contains(error.message(), "publish an event"));
    CHECK(at.log.empty());
}

}  // namespace prebake::containerd::events_test
