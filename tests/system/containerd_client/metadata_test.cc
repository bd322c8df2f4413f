// Connection, images, leases, introspection and CRI.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>

#include "agent/base/file.h"
#include "agent/containerd/cri.h"
#include "agent/containerd/images.h"
#include "agent/containerd/introspection.h"
#include "agent/containerd/leases.h"
#include "tests/system/containerd_client/daemon_under_test.h"
#include "tests/system/containerd_client/test_image.h"

namespace prebake::containerd {
namespace {

using test::blob_of;
using test::error_from;
using test::socket_under_test;
using test::store;
using test::test_image;
using test::TestImage;
using test::TestNamespace;

Image image_of(const std::string& name, const std::string& content, Labels labels) {
    return Image{.name = name,
                 .labels = std::move(labels),
                 .target = blob_of(content, "application/vnd.oci.image.manifest.v1+json")};
}

/// A socket file in a directory that only its owner may enter.
class LoneSocket {
  public:
    LoneSocket() : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        std::string pattern = std::filesystem::temp_directory_path() / "prebake-socket.XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()));
        directory_ = pattern;
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        path().copy(name.sun_path, sizeof name.sun_path - 1);
        REQUIRE(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    }
    ~LoneSocket() { std::filesystem::remove_all(directory_); }
    std::string path() const { return directory_ / "with space%.sock"; }
    void listen() { REQUIRE(::listen(fd_.get(), 8) == 0); }

  private:
    FileDescriptor fd_;
    std::filesystem::path directory_;
};

TEST_CASE("the version, by path and by address") {
    CHECK_FALSE(Connection(socket_under_test(), {}).version().version.empty());
    const Connection by_address("unix://" + socket_under_test(), {});
    CHECK(by_address.version().version == Connection(socket_under_test(), {}).version().version);
    CHECK(by_address.address() == socket_under_test());
}

TEST_CASE("errors name the socket of a containerd that does not answer") {
    LoneSocket lone;
    SUBCASE("no socket") {
        const auto message = error_from(
            Errc::unavailable, [] { Connection("/nowhere/containerd.sock", {}).version(); });
        CHECK(message.find(
                  "containerd does not answer on /nowhere/containerd.sock: the socket does not "
                  "exist; start containerd, or name its socket with --address") !=
              std::string::npos);
    }
    SUBCASE("nobody listens") {
        const auto message =
            error_from(Errc::unavailable, [&] { Connection(lone.path(), {}).version(); });
        CHECK(message.find("nobody listens") != std::string::npos);
    }
    SUBCASE("not allowed") {
        lone.listen();
        REQUIRE(::seteuid(65534) == 0);
        const auto message =
            error_from(Errc::permission_denied, [&] { Connection(lone.path(), {}).version(); });
        REQUIRE(::seteuid(0) == 0);
        CHECK(message.find("run as root") != std::string::npos);
    }
    SUBCASE("a listener that sends nothing, and a stop request") {
        lone.listen();
        std::stop_source stop;
        const Connection connection(lone.path(), stop.get_token());
        auto call = std::async(std::launch::async, [&] { connection.version(); });
        REQUIRE(call.wait_for(std::chrono::milliseconds(300)) == std::future_status::timeout);
        stop.request_stop();
        REQUIRE(call.wait_for(std::chrono::minutes(2)) == std::future_status::ready);
        error_from(Errc::cancelled, [&] { call.get(); });
    }
    SUBCASE("an invalid address") {
        error_from(Errc::usage, [] { Connection("tcp://localhost:1", {}); });
        error_from(Errc::usage, [] { Connection("", {}); });
        error_from(Errc::usage, [] { Connection("/" + std::string(108, 'x'), {}); });
    }
}

TEST_CASE("a stop request ends the next call") {
    TestNamespace ns;
    ns.request_stop();
    error_from(Errc::cancelled, [&] { ns.connection().version(); });
}

TEST_CASE("namespace names") {
    struct Row {
        const char* name;
        bool valid;
    };
    const std::string longest(76, 'n');
    const std::string too_long(77, 'n');
    const Row rows[] = {
        {"k8s.io", true},
        {"moby", true},
        {"a", true},
        {"0", true},
        {"a-b_c.D9", true},
        {"", false},
        {".a", false},
        {"a.", false},
        {"a..b", false},
        {"a-_b", false},
        {"a b", false},
        {"a/b", false},
        {"ä", false},
        {"a\n", false},
        {longest.c_str(), true},
        {too_long.c_str(), false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        if (row.valid) {
            CHECK_NOTHROW(validate_namespace(row.name));
        } else {
            error_from(Errc::usage, [&] { validate_namespace(row.name); });
        }
    }
}

TEST_CASE("put() creates an image, or changes the named fields of an existing one") {
    struct Row {
        const char* name;
        Labels put;
        Labels result;
    };
    const Row rows[] = {
        {"no labels", {}, {{"foreign", "kept"}, {"own", "1"}}},
        {"a new label", {{"a.b/c", "2"}}, {{"a.b/c", "2"}, {"foreign", "kept"}, {"own", "1"}}},
        {"another value", {{"own", "2"}}, {{"foreign", "kept"}, {"own", "2"}}},
        {"an empty value deletes", {{"own", ""}}, {{"foreign", "kept"}}},
    };
    const TestNamespace ns;
    const Images images(ns.connection(), ns.scope());
    for (const Row& row : rows) {
        CAPTURE(row.name);
        images.put(
            image_of("example.org/a:1", "old", {{"own", "1"}, {"foreign", "kept"}, {"no", ""}}));
        auto image = images.get("example.org/a:1");
        REQUIRE(image);
        CHECK(image->labels == Labels{{"foreign", "kept"}, {"own", "1"}});
        CHECK(image->target == blob_of("old", image->target.media_type));

        images.put(image_of("example.org/a:1", "newer", row.put));
        image = images.get("example.org/a:1");
        REQUIRE(image);
        CHECK(image->labels == row.result);
        CHECK(image->target == blob_of("newer", image->target.media_type));
        images.remove("example.org/a:1");
    }
}

TEST_CASE("set_labels() works with every target, and creates no image") {
    const TestNamespace ns;
    const Images images(ns.connection(), ns.scope());
    CHECK_FALSE(images.set_labels("example.org/a:1", {{"own", "1"}}));
    CHECK(images.list().empty());
    images.put(image_of("example.org/a:1", "a", {{"own", "1"}, {"foreign", "kept"}}));
    CHECK(images.set_labels("example.org/a:1", {{"own", ""}, {"new.one/x", "2"}}));
    const auto image = images.get("example.org/a:1");
    REQUIRE(image);
    CHECK(image->labels == Labels{{"foreign", "kept"}, {"new.one/x", "2"}});
    CHECK(image->target == blob_of("a", image->target.media_type));
}

TEST_CASE("images are listed by namespace, and removed") {
    const TestNamespace ns;
    const TestNamespace other;
    const Images images(ns.connection(), ns.scope());
    images.put(image_of("example.org/a:1", "a", {}));
    images.put(image_of("sha256:0123", "a", {}));
    Images(other.connection(), other.scope()).put(image_of("example.org/other:1", "a", {}));
    std::vector<std::string> names;
    for (const Image& image : images.list()) names.push_back(image.name);
    std::sort(names.begin(), names.end());
    CHECK(names == std::vector<std::string>{"example.org/a:1", "sha256:0123"});

    images.remove("example.org/a:1");
    images.remove("example.org/a:1");
    CHECK_FALSE(images.get("example.org/a:1"));
    images.remove("sha256:0123");
    CHECK(images.list().empty());
}

TEST_CASE("leases expire, are unique, and may be removed already") {
    const TestNamespace ns;
    const Leases leases(ns.connection(), ns.scope().ns);
    leases.create("bake", std::chrono::hours(24), {{"prebake/test", "yes"}});
    error_from(Errc::conflict, [&] { leases.create("bake", std::chrono::hours(24), {}); });
    const auto all = leases.list();
    const auto bake =
        std::find_if(all.begin(), all.end(), [](const Lease& lease) { return lease.id == "bake"; });
    REQUIRE(bake != all.end());
    CHECK(bake->labels.at("prebake/test") == "yes");
    // RFC 3339: in containerd, any other form means "never".
    const std::string& expires = bake->labels.at("containerd.io/gc.expire");
    std::tm when{};
    const char* end = ::strptime(expires.c_str(), "%Y-%m-%dT%H:%M:%SZ", &when);
    REQUIRE(end);
    CHECK(*end == '\0');
    const auto away = std::chrono::seconds(::timegm(&when) - std::time(nullptr));
    CHECK(away <= std::chrono::hours(24));
    CHECK(away > std::chrono::hours(23));
    leases.remove("bake");
    leases.remove("bake");
    CHECK(leases.list().size() == 1);
}

TEST_CASE("plugins have their directory and the reason why they failed") {
    const Connection connection(socket_under_test(), {});
    const auto all = plugins(connection);
    const auto overlayfs = std::find_if(all.begin(), all.end(), [](const Plugin& plugin) {
        return plugin.type == "io.containerd.snapshotter.v1" && plugin.id == "overlayfs";
    });
    REQUIRE(overlayfs != all.end());
    CHECK(overlayfs->init_error.empty());
    CHECK(std::filesystem::is_directory(overlayfs->exports.at("root")));
    // devmapper needs a configuration that no test daemon has.
    const auto devmapper = std::find_if(all.begin(), all.end(), [](const Plugin& plugin) {
        return plugin.type == "io.containerd.snapshotter.v1" && plugin.id == "devmapper";
    });
    if (devmapper != all.end()) CHECK_FALSE(devmapper->init_error.empty());
}

TEST_CASE("the default snapshotter of a namespace") {
    const Connection connection(socket_under_test(), {});
    CHECK(default_snapshotter_of(connection, "prebake-test-no-such-namespace").empty());
    const TestNamespace ns;
    CHECK(default_snapshotter_of(connection, ns.scope().ns).empty());
    // prebake itself never labels a namespace.
    const std::string label = "ctr --address '" + socket_under_test() + "' namespaces label " +
                              ns.scope().ns + " containerd.io/defaults/snapshotter=native";
    REQUIRE(std::system(label.c_str()) == 0);
    CHECK(default_snapshotter_of(connection, ns.scope().ns) == "native");
}

TEST_CASE("CRI answers on the same socket") {
    const Connection connection(socket_under_test(), {});
    const Cri cri(connection);
    REQUIRE(cri.available());
    CHECK(cri.snapshotter() == "overlayfs");
    CHECK_FALSE(cri.image_status("example.org/prebake-test/none:1"));
    // 2.0 and later do not report it.
    const std::string pause = cri.sandbox_image();
    const bool is_old = connection.version().version.find("1.") < 2;
    CHECK((pause.find("pause") != std::string::npos) == is_old);
}

TEST_CASE("CRI lists the images of its namespace") {
    const Connection connection(socket_under_test(), {});
    const Scope scope{.ns = "k8s.io", .lease = {}};
    const Cri cri(connection);
    const TestImage image = test_image();
    const std::string name = "example.org/prebake-test/listed:1";
    const std::string by_digest = "example.org/prebake-test/listed@" + image.manifest.digest.str();
    const Leases leases(connection, scope.ns);
    leases.create("list-images", std::chrono::hours(1), {});
    store(connection, {.ns = scope.ns, .lease = "list-images"}, image);
    const Images images(connection, scope);
    const Labels labels{{"io.cri-containerd.image", "managed"},
                        {"io.cri-containerd.pinned", "pinned"}};
    const std::string id = image.config.digest.str();
    for (const std::string& each : {id, by_digest, name}) {
        images.put({.name = each, .labels = labels, .target = image.manifest});
    }
    const auto listed = [&]() -> std::optional<CriImage> {
        for (const CriImage& found : cri.list_images()) {
            if (found.id == id && !found.repo_tags.empty() && !found.repo_digests.empty()) {
                return found;
            }
        }
        return {};
    };
    // CRI learns about images from events.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    std::optional<CriImage> found = listed();
    while (!found && std::chrono::steady_clock::now() < deadline) found = listed();
    REQUIRE(found);
    CHECK(found->repo_tags == std::vector<std::string>{name});
    CHECK(found->repo_digests == std::vector<std::string>{by_digest});
    const auto status = cri.image_status(name);
    REQUIRE(status);
    CHECK(status->pinned == found->pinned);
    for (const std::string& each : {name, by_digest, id}) images.remove(each);
    leases.remove("list-images");
}

}  // namespace
}  // namespace prebake::containerd
