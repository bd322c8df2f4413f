#include "agent/containerd/event_decoding.h"

#include <google/protobuf/any.pb.h>

#include <algorithm>

#include "agent/containerd/wire.h"
#include "proto/containerd/event_payloads.pb.h"
#include "proto/containerd/images.pb.h"

namespace prebake::containerd {
namespace {

namespace api = ::containerd::services::events::v1;
namespace images = ::containerd::services::images::v1;
namespace payloads = ::containerd::events;

/// containerd's own events have a few kB.
constexpr std::size_t kMaxPayloadBytes = 1 << 20;

struct Topic {
    std::string_view name;
    EventKind kind;
};

constexpr std::array<Topic, 9> kTopics{{
    {"/images/create", EventKind::image_created},
    {"/images/update", EventKind::image_updated},
    {"/images/delete", EventKind::image_deleted},
    {"/snapshot/prepare", EventKind::snapshot_prepared},
    {"/snapshot/commit", EventKind::snapshot_committed},
    {"/snapshot/remove", EventKind::snapshot_removed},
    {"/content/delete", EventKind::blob_deleted},
    {"/containers/create", EventKind::container_created},
    {"/tasks/start", EventKind::task_started},
}};

std::optional<EventKind> kind_of(std::string_view topic) {
    for (const Topic& known : kTopics) {
        if (known.name == topic) return known.kind;
    }
    return {};
}

/// The message in `any`, if it has this type. containerd writes the type's name without a prefix,
/// others with a prefix that ends in '/'.
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

/// Sets the fields from the payload. False if the payload is not of the topic's type.
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
        case EventKind::container_created:
            return read<payloads::ContainerCreate>(any, [&](const auto& payload) {
                event.object = payload.id();
                event.name = payload.image();
            });
        case EventKind::task_started:
            return read<payloads::TaskStart>(
                any, [&](const auto& payload) { event.object = payload.container_id(); });
    }
    return false;
}

}  // namespace

std::array<std::string_view, 9> event_topics() {
    std::array<std::string_view, kTopics.size()> names;
    std::ranges::transform(kTopics, names.begin(), &Topic::name);
    return names;
}

std::optional<Event> decode_event(const api::Envelope& envelope) {
    const auto kind = kind_of(envelope.topic());
    if (!kind) return {};
    Event event{.kind = *kind, .at = time_from(envelope.timestamp()), .ns = envelope.namespace_()};
    if (!read_payload(envelope.event(), event) || event.object.empty()) return {};
    return event;
}

}  // namespace prebake::containerd
