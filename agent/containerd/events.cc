#include "agent/containerd/events.h"

#include <google/protobuf/any.pb.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>
#include <string_view>
#include <thread>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/containerd/call.h"
#include "agent/containerd/read_stream.h"
#include "agent/containerd/wire.h"
#include "proto/containerd/event_payloads.pb.h"
#include "proto/containerd/events.grpc.pb.h"
#include "proto/containerd/images.pb.h"

namespace prebake::containerd {
namespace {

namespace api = ::containerd::services::events::v1;
namespace images = ::containerd::services::images::v1;
namespace payloads = ::containerd::events;

/// containerd's own are a few kB, but whoever may use the socket may publish under any topic.
constexpr std::size_t kMaxPayloadBytes = 1 << 20;

/// Of the event of our own by which we know that a subscription is in effect. Until it comes back
/// it is repeated: only what is published after containerd has taken in the subscription is
/// delivered.
constexpr const char* kFenceTopic = "/prebake/subscribed/";
constexpr const char* kFenceNamespace = "prebake";
constexpr std::chrono::milliseconds kFenceInterval{20};
constexpr std::chrono::seconds kFencePatience{30};

struct Topic {
    std::string_view name;
    EventKind kind;
};

constexpr std::array kTopics{
    Topic{"/images/create", EventKind::image_created},
    Topic{"/images/update", EventKind::image_updated},
    Topic{"/images/delete", EventKind::image_deleted},
    Topic{"/snapshot/prepare", EventKind::snapshot_prepared},
    Topic{"/snapshot/commit", EventKind::snapshot_committed},
    Topic{"/snapshot/remove", EventKind::snapshot_removed},
    Topic{"/content/delete", EventKind::blob_deleted},
};

std::optional<EventKind> kind_of(std::string_view topic) {
    for (const Topic& known : kTopics) {
        if (known.name == topic) return known.kind;
    }
    return {};
}

/// The message in `any`, if it is one of this type; containerd writes the type's name bare, others
/// with a prefix that ends in '/'.
template <typename Payload>
std::optional<Payload> unpacked(const google::protobuf::Any& any) {
    const std::string_view url = any.type_url();
    if (url.substr(url.rfind('/') + 1) != Payload::descriptor()->full_name()) return {};
    Payload payload;
    if (any.value().size() > kMaxPayloadBytes || !payload.ParseFromString(any.value())) return {};
    return payload;
}

template <typename Payload, typename Fill>
bool read(const google::protobuf::Any& any, const Fill& fill) {
    const std::optional<Payload> payload = unpacked<Payload>(any);
    if (payload) fill(*payload);
    return payload.has_value();
}

/// Fills in what the payload says. False when it is not what its topic promises.
bool read_payload(const google::protobuf::Any& any, Event& event) {
    const auto fill_image = [&](const auto& payload) {
        event.object = payload.name();
        event.labels = labels_from(payload.labels());
    };
    const auto fill_snapshot = [&](const auto& payload) {
        event.object = payload.key();
        event.snapshotter = payload.snapshotter();
    };
    switch (event.kind) {
        case EventKind::image_created:
            return read<images::ImageCreate>(any, fill_image);
        case EventKind::image_updated:
            return read<images::ImageUpdate>(any, fill_image);
        case EventKind::image_deleted:
            return read<images::ImageDelete>(
                any, [&](const auto& payload) { event.object = payload.name(); });
        case EventKind::snapshot_prepared:
            return read<payloads::SnapshotPrepare>(any, [&](const auto& payload) {
                fill_snapshot(payload);
                event.parent = payload.parent();
            });
        case EventKind::snapshot_committed:
            return read<payloads::SnapshotCommit>(any, [&](const auto& payload) {
                fill_snapshot(payload);
                event.name = payload.name();
            });
        case EventKind::snapshot_removed:
            return read<payloads::SnapshotRemove>(any, fill_snapshot);
        case EventKind::blob_deleted:
            return read<payloads::ContentDelete>(
                any, [&](const auto& payload) { event.object = payload.digest(); });
    }
    return false;
}

std::optional<Event> event_from(const api::Envelope& envelope) {
    const auto kind = kind_of(envelope.topic());
    if (!kind) return {};
    Event event{.kind = *kind, .at = time_from(envelope.timestamp()), .ns = envelope.namespace_()};
    if (!read_payload(envelope.event(), event) || event.object.empty()) return {};
    return event;
}

/// A topic that no other subscriber has: their fences say nothing about our subscription.
std::string unique_fence() {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::random_device random;
    std::string topic = kFenceTopic;
    for (int i = 0; i < 16; ++i) topic += kHex[random() & 15];
    return topic;
}

api::SubscribeRequest subscription(const std::string& fence) {
    api::SubscribeRequest request;
    const auto add = [&](std::string_view topic) {
        request.add_filters("topic==\"" + std::string(topic) + "\"");
    };
    for (const Topic& topic : kTopics) add(topic.name);
    add(fence);
    return request;
}

/// Publishes the fence again and again, on a thread of its own, until it goes away.
class FencePublisher {
  public:
    /// Ends `stream` if it cannot publish, or for too long in vain.
    FencePublisher(const Connection& connection, const std::string& fence,
                   ReadStream<api::Events::Stub, api::Envelope>& stream)
        : connection_(connection), stream_(stream) {
        payloads::NamespaceUpdate payload;
        payload.set_name(kFenceNamespace);
        request_.set_topic(fence);
        request_.mutable_event()->set_type_url(payload.GetDescriptor()->full_name());
        request_.mutable_event()->set_value(payload.SerializeAsString());
        thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }

    /// Why the stream was ended, if it was us.
    std::optional<Error> problem() const {
        const std::scoped_lock lock(mutex_);
        return problem_;
    }

  private:
    void run(const std::stop_token& stop) {
        const auto deadline = std::chrono::steady_clock::now() + kFencePatience;
        try {
            while (std::chrono::steady_clock::now() < deadline) {
                publish();
                sleep_for(kFenceInterval, stop);
            }
            throw Error(Errc::timed_out,
                        "cannot follow containerd's events: containerd delivers none",
                        "see whether containerd is overloaded");
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
                     &api::Events::Stub::Publish, request_, nothing, kFencePatience),
              connection_, "publish an event to containerd");
    }

    const Connection& connection_;
    ReadStream<api::Events::Stub, api::Envelope>& stream_;
    api::PublishRequest request_;
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
    // What broke off for whatever reason is to be begun anew.
    if (error.code() == Errc::io) {
        throw Error(Errc::unavailable, error.message(), error.next_step());
    }
    throw Error(error);
}

}  // namespace

void follow_events(const Connection& connection, const std::function<void()>& on_subscribed,
                   const std::function<void(Event)>& on_event) {
    const std::string fence = unique_fence();
    ReadStream<api::Events::Stub, api::Envelope> stream(
        connection, Scope{}, &api::Events::Stub::Subscribe, subscription(fence), "follow events");
    api::Envelope envelope;
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
        if (auto event = event_from(envelope)) on_event(*std::move(event));
    }
    throw_end(stream.status(), connection);
}

}  // namespace prebake::containerd
