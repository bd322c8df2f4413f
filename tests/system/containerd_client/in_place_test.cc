// Ingests whose files this process fills itself.

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>

#include "agent/base/wait.h"
#include "agent/containerd/content.h"
#include "agent/containerd/in_place_writer.h"
#include "agent/containerd/ingest_directory.h"
#include "agent/containerd/introspection.h"
#include "agent/store/storage.h"
#include "tests/system/containerd_client/daemon_under_test.h"
#include "tests/system/containerd_client/private_containerd.h"

namespace prebake::containerd::in_place_test {

namespace fs = std::filesystem;
using test::blob_of;
using test::bytes_of;
using test::error_from;
using test::PrivateContainerd;
using test::TestNamespace;
using test::unique_bytes;

constexpr std::size_t kMiB = 1 << 20;
constexpr std::size_t kSize = kLeastInPlaceBytes + 8 * kMiB + 123;

/// A namespace of a daemon, and the daemon's content store.
struct Store {
    TestNamespace ns;
    Content content{ns.connection(), ns.scope()};
    std::optional<fs::path> root = store::Storage(plugins(ns.connection())).content_directory();
    IngestDirectory directory{root};

    explicit Store(const std::string& socket = test::socket_under_test()) : ns(socket) {}

    std::unique_ptr<BlobWriter> open(const oci::Descriptor& blob) {
        auto writer = content.open_writer(blob, directory);
        const std::string obstacle = directory.obstacle().value_or("");
        CHECK(obstacle == "");
        return writer;
    }
    fs::path ingest(const oci::Descriptor& blob) const {
        const std::string name = ns.scope().ns + "/1/" + in_place_ref(blob.digest);
        return *root / "ingest" / oci::Digest::of(name).hex();
    }
    fs::path file(const oci::Descriptor& blob) const {
        return *root / "blobs" / "sha256" / blob.digest.hex();
    }
    void store(const oci::Descriptor& blob, const std::string& bytes) {
        const auto writer = open(blob);
        REQUIRE(writer);
        writer->write(bytes_of(bytes).subspan(writer->offset()));
        writer->commit({{"test/label", "value"}});
        CHECK(content.read_all(blob.digest, bytes.size()) == bytes);
        CHECK(content.info(blob.digest)->labels == Labels{{"test/label", "value"}});
        CHECK_FALSE(fs::exists(ingest(blob)));
    }
};

TEST_CASE("a blob that is filled in place is as a streamed one") {
    Store at;
    const std::string bytes = unique_bytes(kSize);
    const auto blob = blob_of(bytes);
    const auto writer = at.open(blob);
    REQUIRE(writer);
    REQUIRE(writer->is_in_place());
    const auto readable = writer->readable_file();
    REQUIRE(readable);
    for (std::size_t begin = 0; begin < bytes.size(); begin += kMiB) {
        writer->write(bytes_of(bytes).subspan(begin, std::min(kMiB, bytes.size() - begin)));
    }
    writer->commit({{"test/label", "value"}});
    CHECK(at.content.read_all(blob.digest, bytes.size()) == bytes);
    CHECK(at.content.info(blob.digest)->size == bytes.size());
    CHECK(at.content.info(blob.digest)->labels == Labels{{"test/label", "value"}});
    CHECK_FALSE(at.open(blob));
    CHECK_FALSE(fs::exists(at.ingest(blob)));

    const std::string other = unique_bytes(kSize);
    const auto streamed = blob_of(other);
    const auto stream = at.content.open_writer("streamed", streamed);
    stream->write(bytes_of(other));
    stream->commit({});
    struct stat ours {};
    struct stat theirs {};
    REQUIRE(::stat(at.file(blob).c_str(), &ours) == 0);
    REQUIRE(::stat(at.file(streamed).c_str(), &theirs) == 0);
    CHECK(ours.st_mode == theirs.st_mode);
    CHECK(ours.st_uid == theirs.st_uid);

    // The commit renamed the file that was being read.
    struct stat read {};
    REQUIRE(::fstat(readable->get(), &read) == 0);
    CHECK(read.st_ino == ours.st_ino);
    std::array<char, 64> end{};
    const auto from = static_cast<off_t>(bytes.size() - end.size());
    REQUIRE(::pread(readable->get(), end.data(), end.size(), from) == 64);
    CHECK(std::string(end.data(), end.size()) == bytes.substr(bytes.size() - end.size()));
}

TEST_CASE("an ingest is resumed at the size of its file") {
    PrivateContainerd daemon;
    Store at(daemon.socket());
    const std::string bytes = unique_bytes(kSize);
    const auto blob = blob_of(bytes);
    SUBCASE("after the writer was dropped") {
        auto writer = at.open(blob);
        writer->write(bytes_of(bytes).first(5 * kMiB + 1));
    }
    SUBCASE("after containerd died") {
        auto writer = at.open(blob);
        writer->write(bytes_of(bytes).first(3 * kMiB));
        daemon.kill();
        writer->write(bytes_of(bytes).subspan(3 * kMiB, 2 * kMiB + 1));
        writer.reset();
        daemon.start();
    }
    const auto writer = at.open(blob);
    REQUIRE(writer);
    CHECK(writer->offset() == 5 * kMiB + 1);
    CHECK(writer->is_in_place());
    writer->write(bytes_of(bytes).subspan(writer->offset()));
    writer->commit({});
    CHECK(at.content.read_all(blob.digest, bytes.size()) == bytes);
}

TEST_CASE("containerd may be away while an ingest is filled, and for its commit") {
    PrivateContainerd daemon;
    Store at(daemon.socket());
    const std::string bytes = unique_bytes(kSize);
    const auto blob = blob_of(bytes);
    auto writer = at.open(blob);
    REQUIRE(writer);
    daemon.kill();
    writer->write(bytes_of(bytes));
    error_from(Errc::unavailable, [&] { writer->commit({}); });
    SUBCASE("the writer commits when it is back") {
        daemon.start();
        writer->commit({});
    }
    SUBCASE("another writer commits") {
        writer.reset();
        daemon.start();
        writer = at.open(blob);
        REQUIRE(writer);
        CHECK(writer->offset() == blob.size);
        writer->commit({});
    }
    CHECK(at.content.read_all(blob.digest, bytes.size()) == bytes);
}

TEST_CASE("containerd that is killed during the commit of an ingest") {
    PrivateContainerd daemon;
    for (int round = 0; round < 12; ++round) {
        CAPTURE(round);
        Store at(daemon.socket());
        const std::string bytes = unique_bytes(24 * kMiB);
        const auto blob = blob_of(bytes);
        auto writer = at.open(blob);
        REQUIRE(writer);
        writer->write(bytes_of(bytes));
        auto commit = std::async(std::launch::async, [&] { writer->commit({}); });
        // At another moment in each round: hashing, syncing, renaming, recording.
        sleep_for(std::chrono::milliseconds(10 * round), {});
        daemon.kill();
        try {
            commit.get();
        } catch (const Error& error) {
            CHECK(to_string(error.code()) == to_string(Errc::unavailable));
        }
        writer.reset();
        daemon.start();
        if ((writer = at.open(blob))) {
            writer->write(bytes_of(bytes).subspan(writer->offset()));
            writer->commit({});
        }
        CHECK(at.content.read_all(blob.digest, bytes.size()) == bytes);
    }
}

TEST_CASE("containerd refuses an ingest that was filled with wrong bytes") {
    Store at;
    const std::string bytes = unique_bytes(kSize);
    auto blob = blob_of(bytes);
    std::string wrong = bytes;
    SUBCASE("one bit is wrong") {
        wrong.back() = static_cast<char>(wrong.back() ^ 1);
    }
    SUBCASE("the end is missing") {
        wrong.pop_back();
    }
    SUBCASE("all of it is missing") {
        wrong.clear();
    }
    const auto writer = at.open(blob);
    REQUIRE(writer);
    writer->write(bytes_of(wrong));
    const auto message = error_from(Errc::corrupt, [&] { writer->commit({}); });
    CHECK(message.find(blob.digest.str()) != std::string::npos);
    CHECK_FALSE(at.content.info(blob.digest));
    CHECK_FALSE(fs::exists(at.file(blob)));
    at.store(blob, bytes);
}

TEST_CASE("an ingest that was removed or changed while it was filled") {
    Store at;
    const std::string bytes = unique_bytes(kSize);
    const auto blob = blob_of(bytes);
    auto writer = at.open(blob);
    REQUIRE(writer);
    writer->write(bytes_of(bytes));
    SUBCASE("another client aborts it") {
        at.content.abort(in_place_ref(blob.digest));
        error_from(Errc::conflict, [&] { writer->commit({}); });
    }
    SUBCASE("its file is replaced by a link") {
        fs::remove(at.ingest(blob) / "data");
        fs::create_symlink("/etc/passwd", at.ingest(blob) / "data");
        error_from(Errc::conflict, [&] { writer->commit({}); });
    }
    SUBCASE("another client writes into it") {
        at.content.open_writer(in_place_ref(blob.digest), blob_of(bytes + "more"));
        std::ofstream(at.ingest(blob) / "data", std::ios::app) << "more";
        error_from(Errc::conflict, [&] { writer->commit({}); });
    }
    writer.reset();
    CHECK_FALSE(at.content.info(blob.digest));
    CHECK_FALSE(fs::exists(at.file(blob)));
    at.store(blob, bytes);
}

TEST_CASE("an ingest whose commit ended with a power cut is stored again") {
    Store at;
    const std::string bytes = unique_bytes(kSize);
    const auto blob = blob_of(bytes);
    at.open(blob);
    // The size was written, the bytes were not.
    fs::resize_file(at.ingest(blob) / "data", bytes.size());
    at.store(blob, bytes);
}

TEST_CASE("a blob of another namespace is adopted, and not filled") {
    Store first;
    const std::string bytes = unique_bytes(kSize);
    const auto blob = blob_of(bytes);
    first.store(blob, bytes);
    Store second;
    const auto writer = second.open(blob);
    REQUIRE(writer);
    CHECK(writer->offset() == blob.size);
    CHECK_FALSE(writer->is_in_place());
    writer->commit({});
    CHECK(second.content.info(blob.digest));
}

TEST_CASE("two namespaces fill the same blob at once") {
    Store first;
    Store second;
    const std::string bytes = unique_bytes(kSize);
    const auto blob = blob_of(bytes);
    const auto one = first.open(blob);
    const auto other = second.open(blob);
    REQUIRE(one);
    REQUIRE(other);
    one->write(bytes_of(bytes));
    other->write(bytes_of(bytes));
    one->commit({{"of", "first"}});
    other->commit({{"of", "second"}});
    CHECK(first.content.info(blob.digest)->labels == Labels{{"of", "first"}});
    CHECK(second.content.info(blob.digest)->labels == Labels{{"of", "second"}});
}

TEST_CASE("another client streams the blob meanwhile") {
    Store at;
    const std::string bytes = unique_bytes(kSize);
    const auto blob = blob_of(bytes);
    const auto ours = at.open(blob);
    const auto theirs = at.content.open_writer(ingest_ref(blob), blob);
    REQUIRE(ours);
    REQUIRE(theirs);
    ours->write(bytes_of(bytes));
    theirs->write(bytes_of(bytes));
    SUBCASE("and commits first") {
        theirs->commit({{"by", "them"}});
        ours->commit({{"and", "us"}});
        CHECK(at.content.info(blob.digest)->labels == Labels{{"and", "us"}, {"by", "them"}});
    }
    SUBCASE("and commits last") {
        ours->commit({{"by", "us"}});
        theirs->commit({{"and", "them"}});
        CHECK(at.content.info(blob.digest)->labels == Labels{{"and", "them"}, {"by", "us"}});
    }
    CHECK_FALSE(fs::exists(at.ingest(blob)));
}

TEST_CASE("a disk that is too small is noticed before a byte is fetched") {
    const PrivateContainerd daemon(24 * kMiB);
    Store at(daemon.socket());
    const std::string bytes = unique_bytes(32 * kMiB);
    const auto message =
        error_from(Errc::no_space, [&] { at.content.open_writer(blob_of(bytes), at.directory); });
    CHECK(message.find(at.root->string()) != std::string::npos);
    CHECK(message.find("free disk space") != std::string::npos);
    // What was reserved is free again.
    const std::string smaller = unique_bytes(16 * kMiB);
    at.store(blob_of(smaller), smaller);
}

TEST_CASE("a store that only containerd sees is streamed to") {
    Store at;
    const std::string bytes = unique_bytes(kSize);
    const auto blob = blob_of(bytes);
    const IngestDirectory elsewhere(fs::path("/nonexistent"));
    const auto writer = at.content.open_writer(blob, elsewhere);
    REQUIRE(writer);
    CHECK_FALSE(writer->is_in_place());
    CHECK(elsewhere.obstacle().value_or("").find("/nonexistent") != std::string::npos);
    writer->write(bytes_of(bytes));
    writer->commit({});
    CHECK(at.content.read_all(blob.digest, bytes.size()) == bytes);
}

}  // namespace prebake::containerd::in_place_test
