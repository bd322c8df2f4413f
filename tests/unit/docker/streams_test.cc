#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent/docker/json_lines.h"
#include "agent/docker/load_stream.h"
#include "agent/docker/pull_stream.h"
#include "tests/unit/base/thrown.h"

namespace prebake::docker::streams_test {
namespace {

using tests::contains;
using tests::thrown_by;
using namespace std::chrono_literals;

/// A body that arrives in these pieces.
class Pieces : public http::Response {
  public:
    explicit Pieces(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
    std::size_t read(std::span<std::byte> buffer) override { return read_some(buffer); }
    std::size_t read_some(std::span<std::byte> buffer) override {
        if (pieces_.empty()) return 0;
        std::string& piece = pieces_.front();
        const std::size_t size = std::min(buffer.size(), piece.size());
        std::ranges::copy(std::as_bytes(std::span(piece).first(size)), buffer.begin());
        piece.erase(0, size);
        if (piece.empty()) pieces_.erase(pieces_.begin());
        return size;
    }

  private:
    std::vector<std::string> pieces_;
};

std::vector<std::string> lines_in(std::vector<std::string> pieces) {
    Pieces response(std::move(pieces));
    JsonLines lines(response);
    std::vector<std::string> found;
    while (auto line = lines.next()) found.push_back(*line);
    CHECK(!lines.next());
    return found;
}

TEST_CASE("the lines of a body") {
    using Lines = std::vector<std::string>;
    CHECK(lines_in({}).empty());
    CHECK(lines_in({"\r\n", "\n\n"}).empty());
    CHECK(lines_in({"{1}\r\n{2}\n"}) == Lines{"{1}", "{2}"});
    CHECK(lines_in({"{", "1", "}\n{2", "}\n", "\n{3}"}) == Lines{"{1}", "{2}", "{3}"});
    const std::string long_line(kMaxLineBytes - 1, 'x');
    CHECK(lines_in({"{1}\n" + long_line + "\n"}) == Lines{"{1}", long_line});
}

TEST_CASE("a line without an end") {
    Pieces response({std::string(kMaxLineBytes, 'x'), std::string(100'000, 'x')});
    JsonLines lines(response);
    CHECK(thrown_by([&] { lines.next(); }).code() == Errc::too_large);
}

class Pull {
  public:
    std::optional<PullProgress> after(std::chrono::milliseconds pause, const std::string& line) {
        now_ += pause;
        return stream_.take(parse_stream_line(line), now_);
    }
    const PullStream& stream() const { return stream_; }
    std::chrono::milliseconds remaining() const { return stream_.remaining(now_); }

  private:
    PullStream::Clock::time_point now_;
    PullStream stream_{{.answer = 1s, .download = 10s, .unpack = 100s}, now_};
};

TEST_CASE("only changes are progress") {
    Pull pull;
    CHECK(!pull.after(1s, R"({"status":"Pulling from a/b","id":"1.0"})"));
    CHECK(pull.remaining() == 9s);
    const auto progress = pull.after(
        1s, R"({"status":"Downloading","id":"x","progressDetail":{"current":1,"total":2}})");
    REQUIRE(progress);
    CHECK(*progress ==
          PullProgress{.layer = "x", .status = "Downloading", .current = 1, .total = 2});
    CHECK(pull.remaining() == 10s);
    for (int second = 1; second <= 10; ++second) {
        CHECK(!pull.after(
            1s, R"({"status":"Downloading","id":"x","progressDetail":{"current":1,"total":2}})"));
        CHECK(pull.remaining() == std::chrono::seconds(10 - second));
    }
    CHECK(pull.after(
        1s, R"({"status":"Downloading","id":"x","progressDetail":{"current":2,"total":2}})"));
    CHECK(pull.remaining() == 10s);
}

TEST_CASE("seconds that pass are no progress") {
    Pull pull;
    CHECK(pull.after(
        0s, R"({"status":"Extracting","id":"x","progressDetail":{"current":1,"units":"s"}})"));
    CHECK(!pull.after(
        1s, R"({"status":"Extracting","id":"x","progressDetail":{"current":2,"units":"s"}})"));
    CHECK(pull.remaining() == 99s);
}

TEST_CASE("unpacking may take longer than waiting for a registry") {
    struct Row {
        std::string name;
        std::vector<std::string> states;  // of the layers
        const char* phase;
    };
    const Row rows[] = {
        {"the manifest", {}, "downloading"},
        {"nothing yet", {"Pulling fs layer", "Waiting"}, "downloading"},
        {"one is fetched", {"Download complete", "Downloading"}, "downloading"},
        {"one is done", {"Pull complete", "Retrying in 5 seconds"}, "downloading"},
        {"one is unpacked meanwhile", {"Extracting", "Downloading"}, "unpacking"},
        {"all are fetched", {"Download complete", "Already exists"}, "unpacking"},
        {"all are done", {"Pull complete", "Pull complete"}, "unpacking"},
    };
    for (const Row& row : rows) {
        INFO(row.name);
        Pull pull;
        for (std::size_t i = 0; i < row.states.size(); ++i) {
            pull.after(0s, R"({"status":")" + row.states[i] + R"(","id":"layer)" +
                               std::to_string(i) + R"("})");
        }
        CHECK(pull.stream().phase() == row.phase);
        CHECK(pull.stream().limit() == (pull.stream().phase() == "unpacking" ? 100s : 10s));
    }
}

TEST_CASE("the end of a pull") {
    Pull pull;
    pull.after(0s, R"({"status":"Digest: sha256:11"})");
    CHECK(!pull.stream().is_complete());
    pull.after(0s, R"({"status":"Status: Image is up to date for a:1"})");
    CHECK(pull.stream().is_complete());
}

TEST_CASE("a stream with more layers than there can be") {
    Pull pull;
    const Error error = thrown_by([&] {
        for (int i = 0; i < 3000; ++i) {
            pull.after(0s, R"({"status":"Waiting","id":")" + std::to_string(i) + R"("})");
        }
    });
    CHECK(error.code() == Errc::too_large);
}

TEST_CASE("what a load says") {
    LoadStream stream;
    stream.take(parse_stream_line(R"({"stream":"Loading layer"})"));
    CHECK(!stream.has_loaded());
    stream.take(parse_stream_line(R"({"stream":"Loaded image: a:1\n"})"));
    CHECK(stream.has_loaded());
    CHECK(stream.failure().empty());
    stream.take(parse_stream_line(R"({"stream":"Error unpacking image b:1: no space\n"})"));
    CHECK(stream.failure() == "Error unpacking image b:1: no space");
}

}  // namespace
}  // namespace prebake::docker::streams_test
