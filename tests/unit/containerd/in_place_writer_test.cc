#include "agent/containerd/in_place_writer.h"

#include <doctest/doctest.h>
#include <google/protobuf/util/time_util.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "agent/containerd/content.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/fake_containerd.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::containerd::in_place_writer_test {

namespace fs = std::filesystem;
using fake::content::COMMIT;
using fake::content::WriteContentRequest;
using fake::content::WriteContentResponse;
using grpc::Status;
using grpc::StatusCode;
using tests::contains;
using tests::thrown_by;
using WriteStream = fake::ContentService::WriteStream;

constexpr std::size_t kMiB = 1 << 20;
const std::string kBytes = [] {
    std::string bytes(kLeastInPlaceBytes + 9 * kMiB + 5, 'x');
    for (std::size_t i = 0; i < bytes.size(); i += 4093) bytes[i] = static_cast<char>(i);
    return bytes;
}();

std::span<const std::byte> all_bytes() {
    return std::as_bytes(std::span(kBytes));
}

oci::Descriptor blob() {
    return {.media_type = "application/vnd.oci.image.layer.v1.tar",
            .digest = oci::Digest::of(kBytes),
            .size = kBytes.size(),
            .annotations = {},
            .platform = {}};
}

std::string contents_of(const fs::path& path) {
    std::ostringstream contents;
    contents << std::ifstream(path).rdbuf();
    return contents.str();
}

void put_file(const fs::path& path, std::string_view contents) {
    std::ofstream(path) << contents;
}

/// The content store of a containerd: directories of ingests, resumed and committed as it does it.
class IngestServer {
  public:
    TemporaryDirectory directory;
    Status opening = Status::OK;             ///< another status ends a stream at once
    std::function<void()> on_opened;         ///< once, when the ingest's files are there
    std::optional<std::string> other_start;  ///< in "startedat"
    std::string sequence = "1";

    fs::path root() const { return directory.path() / "content"; }
    fs::path ingest() const { return root() / "ingest" / oci::Digest::of(backend_ref()).hex(); }
    fs::path data() const { return ingest() / "data"; }
    fs::path blob_path() const { return root() / "blobs" / "sha256" / blob().digest.hex(); }

    Status serve(WriteStream& stream) {
        const std::scoped_lock lock(mutex_);
        WriteContentRequest request;
        for (bool is_first = true; stream.Read(&request); is_first = false) {
            if (is_first && !opening.ok()) return std::exchange(opening, Status::OK);
            if (fs::exists(blob_path())) return Status(StatusCode::ALREADY_EXISTS, "there");
            if (is_first) open(request.ref());
            const std::string held =
                fs::is_regular_file(data()) ? contents_of(data()) : std::string();
            WriteContentResponse response;
            response.set_action(request.action());
            response.set_offset(static_cast<std::int64_t>(held.size()));
            response.set_digest(oci::Digest::of(held).str());
            *response.mutable_started_at() = started_;
            if (request.action() == fake::content::WRITE) {
                std::ofstream(data(), std::ios::app) << request.data();
                response.set_offset(request.offset() +
                                    static_cast<std::int64_t>(request.data().size()));
            }
            if (request.action() == COMMIT) {
                if (Status status = commit(request, held); !status.ok()) return status;
            }
            stream.Write(response);
        }
        return Status::OK;
    }

    std::vector<std::string> refs;    ///< of each stream
    std::vector<std::string> labels;  ///< of each commit

  private:
    std::string backend_ref() const { return "ns/" + sequence + "/prebake-" + blob().digest.str(); }

    void open(const std::string& ref) {
        refs.push_back(ref);
        if (fs::create_directories(ingest())) {
            started_ = google::protobuf::util::TimeUtil::GetCurrentTime();
            put_file(ingest() / "ref", backend_ref());
            put_file(ingest() / "startedat",
                     other_start.value_or(google::protobuf::util::TimeUtil::ToString(started_)));
            put_file(ingest() / "total", std::to_string(kBytes.size()));
            put_file(data(), "");
        }
        if (on_opened) std::exchange(on_opened, nullptr)();
    }

    Status commit(const WriteContentRequest& request, const std::string& held) {
        if (request.offset() != static_cast<std::int64_t>(held.size())) {
            return Status(StatusCode::OUT_OF_RANGE, "write must occur at current offset");
        }
        if (oci::Digest::of(held).str() != request.expected()) {
            return Status(StatusCode::FAILED_PRECONDITION, "unexpected commit digest");
        }
        labels.push_back(request.labels().empty() ? "" : request.labels().at("a"));
        fs::create_directories(blob_path().parent_path());
        fs::rename(data(), blob_path());
        fs::remove_all(ingest());
        return Status::OK;
    }

    std::mutex mutex_;
    google::protobuf::Timestamp started_;
};

struct Fixture {
    IngestServer store;
    fake::Containerd server;
    std::stop_source stop;
    Connection connection{server.socket(), stop.get_token()};
    Content content{connection, {.ns = "ns", .lease = {}}};
    IngestDirectory directory{store.root()};
    std::vector<std::string> calls;  ///< besides Write

    Fixture() {
        server.content.write = [this](WriteStream& stream) { return store.serve(stream); };
        server.content.update = [this](auto&, const auto& request, auto&) {
            calls.push_back("update " + request.info().labels().at("a"));
            return Status::OK;
        };
        server.content.abort = [this](auto&, const auto&, auto&) {
            calls.emplace_back("abort");
            fs::remove_all(store.ingest());
            return Status::OK;
        };
    }
    ~Fixture() { server.stop(); }

    std::unique_ptr<BlobWriter> open() { return content.open_writer(blob(), directory); }
    /// The rest of the blob, in pieces.
    void fill(BlobWriter& writer) {
        for (auto rest = all_bytes().subspan(writer.offset()); !rest.empty();) {
            const auto piece = rest.first(std::min(rest.size(), kMiB));
            writer.write(piece);
            rest = rest.subspan(piece.size());
        }
    }
    void store_blob() {
        const auto writer = open();
        REQUIRE(writer);
        fill(*writer);
        writer->commit({{"a", "1"}});
    }
    void check_stored() {
        CHECK(contents_of(store.blob_path()) == kBytes);
        CHECK_FALSE(fs::exists(store.ingest()));
    }
};

TEST_CASE("a blob is written into the ingest's file and committed") {
    Fixture at;
    const auto writer = at.open();
    REQUIRE(writer);
    CHECK(writer->is_in_place());
    CHECK(writer->offset() == 0);
    at.fill(*writer);
    CHECK(writer->offset() == kBytes.size());
    CHECK(at.store.refs.size() == 1);
    CHECK(fs::file_size(at.store.data()) == kBytes.size());
    writer->commit({{"a", "1"}});
    at.check_stored();
    const std::string ref = "prebake-" + blob().digest.str();
    CHECK(at.store.refs == std::vector<std::string>{ref, ref});
    CHECK(at.store.labels == std::vector<std::string>{"1"});
    CHECK(at.calls.empty());
    CHECK_FALSE(at.directory.obstacle());
    CHECK_FALSE(at.open());  // it is there
}

TEST_CASE("what is written can be read while the ingest is filled, and after the commit") {
    Fixture at;
    const auto writer = at.open();
    REQUIRE(writer);
    std::array<char, 100> buffer{};
    const auto file = writer->readable_file();
    REQUIRE(file);
    CHECK(::pread(file->get(), buffer.data(), buffer.size(), 0) == 0);
    writer->write(all_bytes().first(50));
    CHECK(::pread(file->get(), buffer.data(), buffer.size(), 0) == 50);
    at.fill(*writer);
    writer->commit({});
    const auto later = writer->readable_file();
    REQUIRE(later);
    for (const int fd : {file->get(), later->get()}) {
        REQUIRE(::pread(fd, buffer.data(), buffer.size(), 4000) == 100);
        CHECK(std::string(buffer.data(), buffer.size()) == kBytes.substr(4000, 100));
    }
}

TEST_CASE("the size of the file is the offset, and reserved space is given back") {
    Fixture at;
    {
        const auto writer = at.open();
        REQUIRE(writer);
        writer->write(all_bytes().first(kMiB + 1));
        CHECK(fs::file_size(at.store.data()) == kMiB + 1);
    }
    struct stat status {};
    REQUIRE(::stat(at.store.data().c_str(), &status) == 0);
    CHECK(status.st_size == kMiB + 1);
    CHECK(static_cast<std::size_t>(status.st_blocks) * 512 < 2 * kMiB);
    const auto writer = at.open();
    REQUIRE(writer);
    CHECK(writer->offset() == kMiB + 1);
    at.fill(*writer);
    writer->commit({});
    at.check_stored();
    CHECK(at.calls.empty());
}

TEST_CASE("a full ingest only needs a commit") {
    Fixture at;
    at.fill(*at.open());
    const auto writer = at.open();
    REQUIRE(writer);
    CHECK(writer->offset() == kBytes.size());
    CHECK_FALSE(writer->is_in_place());
    writer->commit({});
    at.check_stored();
}

TEST_CASE("an ingest that cannot be resumed is discarded") {
    Fixture at;
    at.open();
    SUBCASE("it is full of other bytes") {
        put_file(at.store.data(), std::string(kBytes.size(), 'y'));
    }
    SUBCASE("it is too long") {
        put_file(at.store.data(), kBytes + "more");
    }
    SUBCASE("its data are a link") {
        put_file(at.store.directory / "victim", "victim");
        fs::remove(at.store.data());
        fs::create_symlink(at.store.directory / "victim", at.store.data());
    }
    SUBCASE("its data have another name, too") {
        fs::create_hard_link(at.store.data(), at.store.directory / "victim");
    }
    SUBCASE("its data are a directory") {
        at.store.on_opened = [&] {
            fs::remove(at.store.data());
            fs::create_directory(at.store.data());
        };
    }
    SUBCASE("its data are a pipe") {
        at.store.on_opened = [&] {
            fs::remove(at.store.data());
            REQUIRE(::mkfifo(at.store.data().c_str(), 0600) == 0);
        };
    }
    at.store_blob();
    at.check_stored();
    CHECK(at.calls == std::vector<std::string>{"abort"});
    const fs::path victim = at.store.directory / "victim";
    if (fs::exists(victim)) CHECK(contents_of(victim).size() < kMiB);
}

TEST_CASE("wrong bytes are refused by containerd, and the ingest is aborted") {
    Fixture at;
    const auto writer = at.open();
    REQUIRE(writer);
    SUBCASE("one byte is wrong") {
        at.fill(*writer);
        std::fstream file(at.store.data(), std::ios::in | std::ios::out);
        file.seekp(100);
        file.put('!');
    }
    SUBCASE("the end is missing") {
        writer->write(all_bytes().first(kBytes.size() - 1));
    }
    SUBCASE("all of it is missing") {}
    const Error error = thrown_by([&] { writer->commit({}); });
    CHECK(error.code() == Errc::corrupt);
    CHECK(contains(error.message(), blob().digest.str()));
    CHECK(at.calls == std::vector<std::string>{"abort"});
    at.store_blob();
    at.check_stored();
}

TEST_CASE("more bytes than declared are not written") {
    Fixture at;
    const auto writer = at.open();
    at.fill(*writer);
    CHECK(thrown_by([&] { writer->write(all_bytes().first(1)); }).code() == Errc::corrupt);
    CHECK(fs::file_size(at.store.data()) == kBytes.size());
}

TEST_CASE("an ingest that is changed meanwhile is a conflict, and the next attempt works") {
    Fixture at;
    put_file(at.store.directory / "other", kBytes);
    const auto writer = at.open();
    REQUIRE(writer);
    const auto change = [&] {
        SUBCASE("it is removed") {
            fs::remove_all(at.store.ingest());
        }
        SUBCASE("the data are removed") {
            fs::remove(at.store.data());
        }
        SUBCASE("the data are replaced by a link") {
            fs::remove(at.store.data());
            fs::create_symlink(at.store.directory / "other", at.store.data());
        }
        SUBCASE("the data are replaced by a file") {
            fs::rename(at.store.directory / "other", at.store.data());
        }
    };
    Error error(Errc::internal, "");
    SUBCASE("while it is filled") {
        writer->write(all_bytes().first(kMiB));
        change();
        error = thrown_by([&] { at.fill(*writer); });
    }
    SUBCASE("before the commit") {
        at.fill(*writer);
        change();
        error = thrown_by([&] { writer->commit({}); });
    }
    SUBCASE("between the check and the commit") {
        at.fill(*writer);
        at.store.on_opened = [&] { fs::resize_file(at.store.data(), 5); };
        error = thrown_by([&] { writer->commit({}); });
    }
    CHECK(error.code() == Errc::conflict);
    CHECK(contains(error.message(), blob().digest.str()));
    CHECK(contains(error.message(), "while prebake filled it"));
    CHECK_FALSE(fs::exists(at.store.blob_path()));
}

TEST_CASE("a writer that fails does not shorten a file that is no ingest any more") {
    Fixture at;
    {
        const auto writer = at.open();
        writer->write(all_bytes().first(kMiB));
        put_file(at.store.data(), kBytes);
        fs::rename(at.store.data(), at.store.directory / "blob");
    }
    CHECK(contents_of(at.store.directory / "blob") == kBytes);
}

TEST_CASE("a commit by another client is success, and gets our labels") {
    Fixture at;
    const auto writer = at.open();
    at.fill(*writer);
    fs::create_directories(at.store.blob_path().parent_path());
    put_file(at.store.blob_path(), kBytes);
    writer->commit({{"a", "1"}});
    CHECK(at.calls == std::vector<std::string>{"update 1", "abort"});
}

TEST_CASE("containerd that goes away") {
    Fixture at;
    at.server.content.status = [](auto&, const auto&, auto&) {
        return Status(StatusCode::UNAVAILABLE, "gone");
    };
    SUBCASE("when the ingest is opened") {
        at.store.opening = Status(StatusCode::UNAVAILABLE, "gone");
        CHECK(thrown_by([&] { at.open(); }).code() == Errc::unavailable);
    }
    SUBCASE("at the commit, which can be repeated") {
        const auto writer = at.open();
        at.fill(*writer);
        at.store.opening = Status(StatusCode::UNAVAILABLE, "gone");
        CHECK(thrown_by([&] { writer->commit({}); }).code() == Errc::unavailable);
        writer->commit({});
        at.check_stored();
    }
    CHECK(at.calls.empty());
}

TEST_CASE("a small blob is streamed") {
    Fixture at;
    std::vector<std::string> refs;
    at.server.content.write = [&](WriteStream& stream) {
        WriteContentRequest request;
        stream.Read(&request);
        refs.push_back(request.ref());
        stream.Write(WriteContentResponse());
        while (stream.Read(&request)) {
        }
        return Status::OK;
    };
    oci::Descriptor small = blob();
    small.size = kLeastInPlaceBytes - 1;
    const auto writer = at.content.open_writer(small, at.directory);
    REQUIRE(writer);
    CHECK_FALSE(writer->is_in_place());
    CHECK_FALSE(writer->readable_file());
    CHECK(refs == std::vector<std::string>{"layer-" + blob().digest.str()});
    CHECK_FALSE(at.directory.obstacle());
}

TEST_CASE("without a view of the ingest, blobs are streamed") {
    Fixture at;
    std::optional<IngestDirectory> directory(std::in_place, at.store.root());
    std::string reason;
    SUBCASE("containerd does not report its directory") {
        directory.emplace(std::nullopt);
        reason = "does not report";
    }
    SUBCASE("the directory is not visible") {
        directory.emplace(at.store.directory / "elsewhere");
        reason = "elsewhere";
    }
    SUBCASE("the directory is another containerd's") {
        at.store.other_start = "2026-11-30T10:00:00.5+01:00";
        reason = "is not the ingest that containerd has open";
    }
    SUBCASE("containerd calls its ingests otherwise") {
        at.store.sequence = "2";
        reason = "No such file";
    }
    const auto writer = at.content.open_writer(blob(), *directory);
    REQUIRE(writer);
    CHECK_FALSE(writer->is_in_place());
    CHECK_FALSE(writer->readable_file());
    REQUIRE(directory->obstacle());
    CHECK(contains(*directory->obstacle(), reason));
    at.fill(*writer);
    writer->commit({});
    at.check_stored();
    // It is known from now on: the reference is that of other clients.
    fs::remove(at.store.blob_path());
    at.content.open_writer(blob(), *directory);
    CHECK(at.store.refs.back() == "layer-" + blob().digest.str());
}

TEST_CASE("a directory that was visible stays so") {
    Fixture at;
    at.open();
    at.store.on_opened = [&] { fs::remove_all(at.store.ingest()); };
    const Error error = thrown_by([&] { at.open(); });
    CHECK(error.code() == Errc::conflict);
    CHECK(contains(error.message(), "removed the ingest"));
    CHECK_FALSE(at.directory.obstacle());
    at.store_blob();
    at.check_stored();
}

TEST_CASE("another process that fills the ingest is waited for") {
    Fixture at;
    auto first = at.open();
    first->write(all_bytes().first(kMiB));
    auto second = std::async(std::launch::async, [&] { return at.open(); });
    CHECK(second.wait_for(std::chrono::milliseconds(500)) == std::future_status::timeout);
    SUBCASE("until it commits") {
        at.fill(*first);
        first->commit({});
        first.reset();
        CHECK_FALSE(second.get());
    }
    SUBCASE("until it goes away") {
        first.reset();
        const auto writer = second.get();
        REQUIRE(writer);
        CHECK(writer->offset() == kMiB);
    }
    SUBCASE("until a stop is requested") {
        at.stop.request_stop();
        CHECK(thrown_by([&] { second.get(); }).code() == Errc::cancelled);
    }
}

}  // namespace prebake::containerd::in_place_writer_test
