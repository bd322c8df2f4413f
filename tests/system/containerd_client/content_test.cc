// containerd.services.content.v1, except Write.

#include <algorithm>
#include <vector>

#include "agent/containerd/content.h"
#include "tests/system/containerd_client/daemon_under_test.h"

namespace prebake::containerd {
namespace {

using test::blob_of;
using test::error_from;
using test::TestNamespace;
using test::unique_bytes;

TEST_CASE("a blob that does not exist") {
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    const auto digest = blob_of(unique_bytes(10)).digest;
    CHECK_FALSE(content.info(digest));
    error_from(Errc::not_found, [&] { content.read_all(digest, 100); });
    error_from(Errc::not_found, [&] { content.set_labels(digest, {{"a", "b"}}); });
}

TEST_CASE("list() returns the blobs of this namespace only") {
    const TestNamespace other;
    const std::string elsewhere = unique_bytes(10);
    Content(other.connection(), other.scope()).put("x", blob_of(elsewhere), elsewhere, {});

    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    std::vector<std::string> expected;
    // containerd sends them in messages of at most 100.
    for (int i = 0; i < 230; ++i) {
        const std::string bytes = unique_bytes(10);
        content.put("x", blob_of(bytes), bytes, {{"test/n", std::to_string(i)}});
        expected.push_back(blob_of(bytes).digest.str() + " 10 " + std::to_string(i));
    }
    std::vector<std::string> found;
    for (const BlobInfo& blob : content.list()) {
        found.push_back(blob.digest.str() + " " + std::to_string(blob.size) + " " +
                        blob.labels.at("test/n"));
    }
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    CHECK(found == expected);
}

TEST_CASE("a blob has the time of its commit in its namespace") {
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    const std::string bytes = unique_bytes(10);
    const auto before = std::chrono::system_clock::now() - std::chrono::seconds(1);
    content.put("x", blob_of(bytes), bytes, {});
    const auto info = content.info(blob_of(bytes).digest);
    REQUIRE(info);
    CHECK(info->created_at > before);
    CHECK(info->created_at < before + std::chrono::minutes(1));
    const auto all = content.list();
    REQUIRE(all.size() == 1);
    CHECK(all[0].created_at == info->created_at);
}

TEST_CASE("a source fills the buffer until the end, and may be destroyed before it") {
    const std::string bytes = unique_bytes((5 << 20) + 17);
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    content.put("x", blob_of(bytes), bytes, {});
    const auto source = content.read(blob_of(bytes).digest);
    std::string read;
    std::vector<std::byte> buffer(70001);
    SUBCASE("to the end") {
        for (;;) {
            const std::size_t got = source->read(buffer);
            read.append(reinterpret_cast<const char*>(buffer.data()), got);
            if (got < buffer.size()) break;
        }
        CHECK(read == bytes);
        CHECK(source->read(buffer) == 0);
    }
    SUBCASE("not to the end") {
        CHECK(source->read(buffer) == buffer.size());
    }
}

TEST_CASE("read_all() has a limit") {
    const std::string bytes = unique_bytes(1000);
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    content.put("x", blob_of(bytes), bytes, {});
    CHECK(content.read_all(blob_of(bytes).digest, 1000) == bytes);
    error_from(Errc::too_large, [&] { content.read_all(blob_of(bytes).digest, 999); });
}

TEST_CASE("set_labels() changes the given labels only") {
    struct Row {
        const char* name;
        Labels set;
        Labels result;
    };
    const Row rows[] = {
        {"none", {}, {{"a.b/c", "1"}, {"d", "2"}}},
        {"a new one", {{"e", "3"}}, {{"a.b/c", "1"}, {"d", "2"}, {"e", "3"}}},
        {"another value", {{"a.b/c", "9"}}, {{"a.b/c", "9"}, {"d", "2"}}},
        {"an empty value deletes", {{"a.b/c", ""}}, {{"d", "2"}}},
    };
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const std::string bytes = unique_bytes(100);
        const auto digest = blob_of(bytes).digest;
        content.put("x", blob_of(bytes), bytes, {{"a.b/c", "1"}, {"d", "2"}});
        content.set_labels(digest, row.set);
        CHECK(content.info(digest)->labels == row.result);
    }
}

TEST_CASE("ingests have the names that CRI, ctr and Docker use") {
    struct Row {
        const char* media_type;
        const char* prefix;
    };
    const Row rows[] = {
        {"application/vnd.oci.image.index.v1+json", "index-"},
        {"application/vnd.docker.distribution.manifest.list.v2+json", "index-"},
        {"application/vnd.oci.image.manifest.v1+json", "manifest-"},
        {"application/vnd.docker.distribution.manifest.v2+json", "manifest-"},
        {"application/vnd.oci.image.config.v1+json", "config-"},
        {"application/vnd.docker.container.image.v1+json", "config-"},
        {"application/vnd.oci.image.layer.v1.tar", "layer-"},
        {"application/vnd.oci.image.layer.v1.tar+gzip", "layer-"},
        {"application/vnd.oci.image.layer.v1.tar+zstd", "layer-"},
        {"application/vnd.docker.image.rootfs.diff.tar.gzip", "layer-"},
        {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "layer-"},
        {"application/octet-stream", "unknown-"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.media_type);
        auto blob = blob_of("x", row.media_type);
        CHECK(ingest_ref(blob) == row.prefix + blob.digest.str());
        blob.annotations["org.opencontainers.image.ref.name"] = "1.27";
        CHECK(ingest_ref(blob) == row.prefix + ("1.27@" + blob.digest.str()));
    }
}

}  // namespace
}  // namespace prebake::containerd
