#include "agent/containerd/event_decoding.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "proto/containerd/event_payloads.pb.h"
#include "proto/containerd/images.pb.h"

namespace prebake::containerd {
namespace {

namespace images = ::containerd::services::images::v1;
namespace payloads = ::containerd::events;
using Envelope = ::containerd::services::events::v1::Envelope;

Envelope envelope(const std::string& topic, const google::protobuf::Message& payload) {
    Envelope made;
    made.set_topic(topic);
    made.set_namespace_("k8s.io");
    made.mutable_timestamp()->set_seconds(1'800'000'000);
    made.mutable_event()->set_type_url(payload.GetDescriptor()->full_name());
    made.mutable_event()->set_value(payload.SerializeAsString());
    return made;
}

images::ImageCreate image_create() {
    images::ImageCreate payload;
    payload.set_name("nginx");
    (*payload.mutable_labels())["a"] = "b";
    return payload;
}

TEST_CASE("the fields of an event come from the envelope and the payload") {
    const auto event = decode_event(envelope("/images/create", image_create()));
    REQUIRE(event);
    CHECK(event->kind == EventKind::image_created);
    CHECK(event->at == std::chrono::system_clock::from_time_t(1'800'000'000));
    CHECK(event->ns == "k8s.io");
    CHECK(event->object == "nginx");
    CHECK(event->labels == Labels{{"a", "b"}});
}

TEST_CASE("each topic has its payload") {
    images::ImageUpdate update;
    update.set_name("nginx");
    CHECK(decode_event(envelope("/images/update", update))->kind == EventKind::image_updated);
    images::ImageDelete removal;
    removal.set_name("nginx");
    CHECK(decode_event(envelope("/images/delete", removal))->kind == EventKind::image_deleted);

    payloads::SnapshotPrepare prepare;
    prepare.set_key("key");
    prepare.set_parent("parent");
    prepare.set_snapshotter("overlayfs");
    const auto prepared = decode_event(envelope("/snapshot/prepare", prepare));
    REQUIRE(prepared);
    CHECK(prepared->kind == EventKind::snapshot_prepared);
    CHECK(prepared->object == "key");
    CHECK(prepared->parent == "parent");
    CHECK(prepared->snapshotter == "overlayfs");

    payloads::SnapshotCommit commit;
    commit.set_key("key");
    commit.set_name("name");
    const auto committed = decode_event(envelope("/snapshot/commit", commit));
    REQUIRE(committed);
    CHECK(committed->kind == EventKind::snapshot_committed);
    CHECK(committed->object == "key");
    CHECK(committed->name == "name");
    CHECK(committed->snapshotter.empty());

    payloads::SnapshotRemove remove;
    remove.set_key("key");
    CHECK(decode_event(envelope("/snapshot/remove", remove))->kind == EventKind::snapshot_removed);

    payloads::ContentDelete blob;
    blob.set_digest("sha256:x");
    const auto deleted = decode_event(envelope("/content/delete", blob));
    REQUIRE(deleted);
    CHECK(deleted->kind == EventKind::blob_deleted);
    CHECK(deleted->object == "sha256:x");

    payloads::ContainerCreate create;
    create.set_id("c1");
    create.set_image("nginx");
    const auto created = decode_event(envelope("/containers/create", create));
    REQUIRE(created);
    CHECK(created->kind == EventKind::container_created);
    CHECK(created->object == "c1");
    CHECK(created->name == "nginx");

    payloads::TaskStart start;
    start.set_container_id("c1");
    const auto started = decode_event(envelope("/tasks/start", start));
    REQUIRE(started);
    CHECK(started->kind == EventKind::task_started);
    CHECK(started->object == "c1");
}

TEST_CASE("a prefix of the payload's type is accepted") {
    Envelope prefixed = envelope("/images/create", image_create());
    prefixed.mutable_event()->set_type_url("types.containerd.io/" + prefixed.event().type_url());
    CHECK(decode_event(prefixed));
}

TEST_CASE("every topic that is subscribed to is decoded") {
    const auto topics = event_topics();
    CHECK(topics.size() == 9);
    for (const char* topic : {"/images/create", "/snapshot/commit", "/content/delete"}) {
        CHECK(std::ranges::count(topics, topic) == 1);
    }
}

TEST_CASE("other envelopes are not events") {
    const Envelope good = envelope("/images/create", image_create());
    Envelope bad = good;
    SUBCASE("another topic") {
        bad.set_topic("/tasks/start");
    }
    SUBCASE("a longer topic") {
        bad.set_topic("/images/create/");
    }
    SUBCASE("no topic") {
        bad.clear_topic();
    }
    SUBCASE("the payload of another topic") {
        bad.set_topic("/images/delete");
    }
    SUBCASE("no payload") {
        bad.clear_event();
    }
    SUBCASE("a malformed payload") {
        bad.mutable_event()->set_value("\xff\xff\xff");
    }
    SUBCASE("a payload without an object") {
        bad.mutable_event()->clear_value();
    }
    SUBCASE("a huge payload") {
        images::ImageCreate huge;
        huge.set_name(std::string((1 << 20) + 1, 'x'));
        bad.mutable_event()->set_value(huge.SerializeAsString());
    }
    CHECK(decode_event(good));
    CHECK_FALSE(decode_event(bad));
}

}  // namespace
}  // namespace prebake::containerd
