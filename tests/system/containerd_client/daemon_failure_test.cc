// A daemon that crashes, hangs or has a full disk.

#include <archive.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>

#include "agent/containerd/content.h"
#include "agent/containerd/diff.h"
#include "agent/containerd/snapshots.h"
#include "tests/system/containerd_client/daemon_under_test.h"
#include "tests/system/containerd_client/layer_archive.h"
#include "tests/system/containerd_client/private_containerd.h"

namespace prebake::containerd::daemon_failure_test {

using test::blob_of;
using test::bytes_of;
using test::error_from;
using test::PrivateContainerd;
using test::tar_of;
using test::TestNamespace;
using test::unique_bytes;

constexpr std::size_t kMiB = 1 << 20;

TEST_CASE("a client survives a crash of the daemon, and resumes") {
    PrivateContainerd daemon;
    const TestNamespace ns(daemon.socket());
    const Content content(ns.connection(), ns.scope());
    const std::string bytes = unique_bytes(8 * kMiB);
    const auto blob = blob_of(bytes);
    {
        const auto writer = content.open_writer("resumed", blob);
        REQUIRE(writer);
        writer->write(bytes_of(bytes).first(5 * kMiB));
        daemon.kill();
        const auto message = error_from(Errc::unavailable, [&] {
            writer->write(bytes_of(bytes).subspan(5 * kMiB));
            writer->commit({});
        });
        CHECK(message.find(daemon.socket()) != std::string::npos);
        // The writer stays broken.
        error_from(Errc::unavailable, [&] { writer->commit({}); });
    }
    error_from(Errc::unavailable, [&] { content.info(blob.digest); });
    daemon.start();
    CHECK_FALSE(content.info(blob.digest));
    const auto writer = content.open_writer("resumed", blob);
    REQUIRE(writer);
    CHECK(writer->offset() >= 4 * kMiB);
    CHECK(writer->offset() <= 5 * kMiB);
    writer->write(bytes_of(bytes).subspan(writer->offset()));
    writer->commit({});
    CHECK(content.read_all(blob.digest, bytes.size()) == bytes);
}

TEST_CASE("a stop ends a call to a hanging daemon at once") {
    PrivateContainerd daemon;
    const TestNamespace ns(daemon.socket());
    const std::string bytes = unique_bytes(40 * kMiB);
    const auto blob = blob_of(bytes);
    Content(ns.connection(), ns.scope()).put("there", blob, bytes, {});

    // A new connection. On a used one containerd's flow control allows so many bytes that the
    // socket of a frozen daemon fills up, and gRPC does not end a call whose bytes are in a full
    // socket. A daemon that waits for its disk still reads its socket.
    std::stop_source stop;
    const Connection connection(daemon.socket(), stop.get_token());
    const Content content(connection, ns.scope());
    const std::string other = unique_bytes(4 * kMiB);
    std::unique_ptr<BlobWriter> writer;
    std::unique_ptr<Source> source;
    std::function<void()> call;
    SUBCASE("a quick call") {
        connection.version();
        call = [&] { connection.version(); };
    }
    SUBCASE("a writer") {
        writer = content.open_writer("other", blob_of(other));
        call = [&] { writer->write(bytes_of(other)); };
    }
    SUBCASE("a source") {
        source = content.read(blob.digest);
        // Some of the bytes have been sent already.
        call = [&] {
            std::vector<std::byte> buffer(bytes.size());
            source->read(buffer);
        };
    }
    SUBCASE("unpacking") {
        connection.version();
        call = [&] { Diff(connection, ns.scope()).apply(blob, {}); };
    }
    daemon.freeze();
    auto running = std::async(std::launch::async, call);
    const bool hung =
        running.wait_for(std::chrono::milliseconds(300)) == std::future_status::timeout;
    stop.request_stop();
    const bool ended = running.wait_for(std::chrono::minutes(2)) == std::future_status::ready;
    daemon.thaw();
    CHECK(hung);
    REQUIRE(ended);
    error_from(Errc::cancelled, [&] { running.get(); });
}

TEST_CASE("a full disk is distinguished from wrong bytes") {
    const PrivateContainerd daemon(24 * kMiB);
    const TestNamespace ns(daemon.socket());
    const Content content(ns.connection(), ns.scope());
    const std::string bytes = unique_bytes(32 * kMiB);
    const auto blob = blob_of(bytes);
    SUBCASE("while a blob is written") {
        const auto message = error_from(Errc::no_space, [&] {
            const auto writer = content.open_writer("big", blob);
            writer->write(bytes_of(bytes));
            writer->commit({});
        });
        CHECK(message.find("free disk space") != std::string::npos);
    }
    SUBCASE("while a layer is unpacked") {
        // Small in the store, large when unpacked.
        const std::string layer_bytes = tar_of(std::string(32 * kMiB, 'x'), ARCHIVE_FILTER_GZIP);
        const auto layer = blob_of(layer_bytes, "application/vnd.oci.image.layer.v1.tar+gzip");
        content.put("layer", layer, layer_bytes, {});
        const auto mounts =
            Snapshots(ns.connection(), ns.scope(), "overlayfs").prepare("key", "", {});
        REQUIRE(mounts);
        error_from(Errc::no_space,
                   [&] { Diff(ns.connection(), ns.scope()).apply(layer, *mounts); });
    }
}

}  // namespace prebake::containerd::daemon_failure_test
