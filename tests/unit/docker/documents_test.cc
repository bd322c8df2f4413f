#include "agent/docker/documents.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/base/thrown.h"

namespace prebake::docker::documents_test {
namespace {

using tests::contains;
using tests::thrown_by;
using namespace std::chrono_literals;

constexpr const char* kInfo = R"({
  "ID": "d0e3d252-0dc6-4b9e-b2df-c67e8d31edd9", "Driver": "overlay2",
  "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]],
  "ServerVersion": "28.5.2", "OSType": "linux", "Architecture": "x86_64",
  "DockerRootDir": "/var/lib/docker", "SecurityOptions": ["name=seccomp,profile=builtin"],
  "Containerd": {"Address": "/run/containerd/containerd.sock",
                 "Namespaces": {"Containers": "moby-100000.100000", "Plugins": "plugins.moby"}},
  "Something": {"new": [1, 2, {"and": null}]}})";

TEST_CASE("what an engine says of itself") {
    const EngineInfo info = parse_info(kInfo);
    CHECK(info.version == "28.5.2");
    CHECK(info.id == "d0e3d252-0dc6-4b9e-b2df-c67e8d31edd9");
    CHECK(info.platform.str() == "linux/amd64");
    CHECK(info.driver == "overlay2");
    CHECK(!info.uses_containerd_store);
    CHECK(info.data_root == "/var/lib/docker");
    CHECK(info.containerd_address == "/run/containerd/containerd.sock");
    CHECK(info.containerd_namespace == "moby-100000.100000");
    CHECK(!info.has_user_namespaces);
    CHECK(!info.is_rootless);
    CHECK_NOTHROW(require_supported(info));
}

TEST_CASE("engines that say less") {
    for (const char* text : {R"({})", R"({"DriverStatus": null})", R"({"DriverStatus": []})",
                             R"({"Containerd": null, "SecurityOptions": null})"}) {
        INFO(std::string(text));
        const EngineInfo info = parse_info(text);
        CHECK(!info.uses_containerd_store);
        CHECK(info.containerd_address.empty());
        CHECK(info.containerd_namespace == "moby");
    }
}

TEST_CASE("the containerd store") {
    CHECK(parse_info(R"({"Driver": "overlayfs",
                         "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})")
              .uses_containerd_store);
    CHECK(!parse_info(R"({"DriverStatus": [["driver-type"], ["driver-type", "other"],
                                           ["a", "io.containerd.snapshotter.v1"]]})")
               .uses_containerd_store);
}

TEST_CASE("security options") {
    struct Row {
        const char* options;
        bool has_user_namespaces;
        bool is_rootless;
    };
    const Row rows[] = {
        {R"(["name=seccomp,profile=default", "name=userns"])", true, false},
        {R"(["name=rootless", "name=cgroupns"])", false, true},
        {R"(["apparmor", "seccomp", "userns"])", true, false},
        {R"(["name=apparmor"])", false, false},
    };
    for (const Row& row : rows) {
        const EngineInfo info =
            parse_info(R"({"SecurityOptions": )" + std::string(row.options) + "}");
        CHECK(info.has_user_namespaces == row.has_user_namespaces);
        CHECK(info.is_rootless == row.is_rootless);
    }
    EngineInfo rootless;
    rootless.is_rootless = true;
    rootless.data_root = "/home/me/.local/share/docker";
    const Error error = thrown_by([&] { require_supported(rootless); });
    CHECK(error.code() == Errc::unsupported);
    CHECK(contains(error.message(), "/home/me/.local/share/docker"));
    CHECK(contains(error.next_step(), "/var/run/docker.sock"));
}

TEST_CASE("an image") {
    const EngineImage image = parse_image(R"({
        "Id": "sha256:11", "RepoTags": ["alpine:3.20"], "RepoDigests": null,
        "Architecture": "arm64", "Variant": "v8", "Os": "linux", "Size": 4294967296,
        "RootFS": {"Type": "layers", "Layers": ["sha256:a", "sha256:b"]}, "Parent": ""})");
    CHECK(image.id == "sha256:11");
    CHECK(image.repo_tags == std::vector<std::string>{"alpine:3.20"});
    CHECK(image.repo_digests.empty());
    CHECK(image.platform.str() == "linux/arm64");
    CHECK(image.layers == std::vector<std::string>{"sha256:a", "sha256:b"});
    CHECK(image.bytes == 4294967296);
}

TEST_CASE("containers") {
    const auto containers = parse_containers(R"([
        {"Id": "1", "Image": "a:1", "ImageID": "sha256:1", "State": "running",
         "Created": 1700000000},
        {"Id": "2", "Image": "b@sha256:2", "ImageID": "sha256:2", "State": "created"},
        {"Id": "3", "State": "exited"}])");
    REQUIRE(containers.size() == 3);
    CHECK(containers[0].image == "a:1");
    CHECK(containers[0].image_id == "sha256:1");
    CHECK(containers[0].created_at.time_since_epoch() == 1700000000s);
    CHECK(containers[0].has_started);
    CHECK(!containers[1].has_started);
    CHECK(containers[2].has_started);
    CHECK(parse_containers("[]").empty());
    CHECK(parse_containers("null").empty());
}

TEST_CASE("events") {
    const EngineEvent event = parse_event(R"({
        "status": "create", "id": "0a1b", "from": "alpine:3.20", "Type": "container",
        "Action": "create", "scope": "local", "time": 1700000000, "timeNano": 1700000000123456789,
        "Actor": {"ID": "0a1b", "Attributes": {"image": "alpine:3.20", "Image": "a label"}}})");
    CHECK(event.type == "container");
    CHECK(event.action == "create");
    CHECK(event.id == "0a1b");
    CHECK(event.image == "alpine:3.20");
    CHECK(event.at.time_since_epoch() == 1700000000123456789ns);
    const EngineEvent other = parse_event(R"({"Type": "new", "Action": "exec_create: sh"})");
    CHECK(other.action == "exec_create: sh");
    CHECK(other.image.empty());
}

TEST_CASE("lines of a stream") {
    const StreamLine line = parse_stream_line(
        R"({"status":"Downloading","id":"1e",
            "progressDetail":{"current":5,"total":10,"units":"s"}})");
    CHECK(line.status == "Downloading");
    CHECK(line.id == "1e");
    CHECK(line.current == 5);
    CHECK(line.total == 10);
    CHECK(line.units == "s");
    CHECK(line.error.empty());
    CHECK(
        parse_stream_line(R"({"errorDetail":{"code":1,"message":"long"},"error":"short"})").error ==
        "long");
    CHECK(parse_stream_line(R"({"error":"short"})").error == "short");
    CHECK(parse_stream_line(R"({"stream":"Loaded image: a:1\n"})").text == "Loaded image: a:1\n");
    CHECK(parse_stream_line(R"({"progressDetail":{"current":-1}})").current == 0);
}

TEST_CASE("the message of an error") {
    CHECK(message_in(R"({"message":"no"})") == "no");
    CHECK(message_in(" no such thing\n") == "no such thing");
    CHECK(message_in(R"(["no"])") == R"(["no"])");
    CHECK(message_in("").empty());
}

TEST_CASE("documents that are none") {
    for (const char* text :
         {"", "<html>", "[]", "{", R"({"ID": 5})", R"({"DriverStatus": "no"})"}) {
        INFO(std::string(text));
        const Error error = thrown_by([&] { parse_info(text); });
        CHECK(error.code() == Errc::corrupt);
        CHECK(contains(error.message(), "dockerd's info cannot be read"));
        CHECK(!contains(error.what(), "image was built"));
    }
    CHECK(thrown_by([] { parse_containers(R"({"Id": "1"})"); }).code() == Errc::corrupt);
    CHECK(thrown_by([] { parse_containers("[1]"); }).code() == Errc::corrupt);
    CHECK(thrown_by([] { parse_event("not JSON"); }).code() == Errc::corrupt);
    CHECK(thrown_by([] { parse_info(std::string(kMaxDocumentBytes + 1, ' ')); }).code() ==
          Errc::too_large);
}

}  // namespace
}  // namespace prebake::docker::documents_test
