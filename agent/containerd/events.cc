#include "agent/containerd/events.h"

#include <array>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/hex.h"
#include "agent/base/wait.h"
#include "agent/containerd/call.h"
#include "agent/containerd/event_decoding.h"
#include "agent/containerd/read_stream.h"
#include "proto/containerd/event_payloads.pb.h"
#include "proto/containerd/events.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace events_api = ::containerd::services::events::v1;
namespace payloads = ::containerd::events;

/// Topic of our own event that shows that a subscription is active. It is published repeatedly
/// until it arrives, because containerd delivers only events from after the subscription.
constexpr const char* kFenceTopic = "/prebake/subscribed/";
constexpr const char* kFenceNamespace = "prebake";
constexpr std::chrono::milliseconds kFenceInterval{20};
constexpr std::chrono::seconds kFenceTimeout{30};

/// A topic of this subscriber only: the fences of others do not show that ours is active.
std::string unique_fence() {
    std::random_device random;
    const std::array<unsigned, 2> number{random(), random()};
    return kFenceTopic + to_hex(std::as_bytes(std::span(number)));
}

events_api::SubscribeRequest subscription(const std::string& fence) {
    events_api::SubscribeRequest request;
    const auto add = [&](std::string_view topic) {
        request.add_filters("topic==\"" + std::string(topic) + "\"");
    };
    for (const std::string_view topic : event_topics()) add(topic);
    add(fence);
    return request;
}

/// Publishes the fence repeatedly, on its own thread, until it is destroyed.
class FencePublisher {
  public:
    /// Cancels `stream` if publishing fails, or if no fence arrives within kFenceTimeout.
    FencePublisher(const Connection& connection, const std::string& fence,
                   ReadStream<events_api::Events::Stub, events_api::Envelope>& stream)
        : connection_(connection), stream_(stream) {
        payloads::NamespaceUpdate payload;
        payload.set_name(kFenceNamespace);
        request_.set_topic(fence);
        request_.mutable_event()->set_type_url(payload.GetDescriptor()->full_name());
        request_.mutable_event()->set_value(payload.SerializeAsString());
        thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }

    /// Why this object cancelled the stream, if it did.
    std::optional<Error> problem() const {
        const std::scoped_lock lock(mutex_);
        return problem_;
    }

  private:
    void run(const std::stop_token& stop) {
        const auto deadline = std::chrono::steady_clock::now() + kFenceTimeout;
        try {
            while (std::chrono::steady_clock::now() < deadline) {
                publish();
                sleep_for(kFenceInterval, stop);
            }
            throw Error(Errc::timed_out,
                        "cannot follow containerd's events: containerd delivers none",
                        "check whether containerd is overloaded");
        } catch (const Error& error) {
            if (stop.stop_requested()) return;
            const std::scoped_lock lock(mutex_);
            problem_ = error;
        }
        stream_.cancel();
    }

    void publish() const {
        google::protobuf::Empty nothing;
        check(invoke(connection_, Scope{.ns = kFenceNamespace, .lease = {}},
                     &events_api::Events::Stub::Publish, request_, nothing, kFenceTimeout),
              connection_, "publish an event to containerd");
    }

    const Connection& connection_;
    ReadStream<events_api::Events::Stub, events_api::Envelope>& stream_;
    events_api::PublishRequest request_;
    mutable std::mutex mutex_;
    std::optional<Error> problem_;
    std::jthread thread_;  // last: joined before the rest goes away
};

[[noreturn]] void throw_end(const grpc::Status& status, const Connection& connection) {
    const char* const what = "follow containerd's events";
    if (status.ok()) {
        throw Error(Errc::unavailable,
                    std::string("cannot ") + what + ": containerd has ended the stream");
    }
    const Error error = error_of(status, connection, what);
    // The caller has to subscribe again, whatever the reason.
    if (error.code() == Errc::io) {
        throw Error(Errc::unavailable, error.message(), error.next_step());
    }
    throw Error(error);
}

}  // namespace

void follow_events(const Connection& connection, const std::function<void()>& on_subscribed,
                   const std::function<void(Event)>& on_event) {
    const std::string fence = unique_fence();
    ReadStream<events_api::Events::Stub, events_api::Envelope> stream(
        connection, Scope{}, &events_api::Events::Stub::Subscribe, subscription(fence),
        "follow events");
    events_api::Envelope envelope;
    {
        const FencePublisher publisher(connection, fence, stream);
        while (envelope.topic() != fence) {
            if (stream.receive(envelope)) continue;
            if (const auto problem = publisher.problem()) throw Error(*problem);
            throw_end(stream.status(), connection);
        }
    }
    on_subscribed();
    while (stream.receive(envelope)) {
        if (auto event = decode_event(envelope)) on_event(*std::move(event));
    }
    throw_end(stream.status(), connection);
}

}  // namespace prebake::containerd
