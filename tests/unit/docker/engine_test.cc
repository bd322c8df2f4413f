#include "agent/docker/engine.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/base64.h"
#include "agent/http/client.h"
#include "tests/unit/docker/scripted_engine.h"
#include "tests/unit/http/error_of.h"

namespace prebake::docker::engine_test {
namespace {

using oci::Platform;
using oci::Reference;
using tests::contains;
using tests::error_of;
using namespace std::chrono_literals;

/// A client of a scripted engine, with limits that no test waits for.
struct Connected {
    explicit Connected(const std::string& socket, Patience patience = {20s, 20s, 20s})
        : engine(connect(*client, socket, stop.get_token(), patience)) {}

    std::unique_ptr<http::Client> client = http::make_client({}, "prebake/test");
    std::stop_source stop;
    std::unique_ptr<Engine> engine;
};

const char* const kDigest =
    "sha256:1111111111111111111111111111111111111111111111111111111111111111";
constexpr const char* kImage = R"({"Id":"sha256:22","RepoTags":["alpine:3.20"]})";
constexpr const char* kNoImage = R"({"message":"No such image: alpine:3.20"})";
constexpr const char* kDownloading =
    R"({"status":"Downloading","id":"1e","progressDetail":{"current":99,"total":100}})";
constexpr const char* kDone = R"({"status":"Status: Downloaded newer image for alpine:3.20"})";

PullRequest pull_of(const std::string& reference) {
    return {.reference = Reference::parse(reference), .platform = Platform::parse("linux/arm64")};
}

std::vector<PullProgress> pulled(Engine& engine, const PullRequest& request) {
    std::vector<PullProgress> progress;
    engine.pull(request, [&](const PullProgress& each) { progress.push_back(each); });
    return progress;
}

Error pull_error(const ScriptedEngine& scripted, Patience patience = {20s, 20s, 20s}) {
    const Connected connected(scripted.socket(), patience);
    return error_of([&] { pulled(*connected.engine, pull_of("alpine:3.20")); });
}

// Who is it ---------------------------------------------------------------------------------------

TEST_CASE("the version that is spoken") {
    struct Row {
        const char* newest;
        const char* version;
        const char* expected;
    };
    const Row rows[] = {
        {"1.24", R"({"Version":"1.12.6","ApiVersion":"1.24"})", "GET /v1.24/info HTTP/1.1"},
        {"1.41", R"({"Version":"20.10.24","MinAPIVersion":"1.12"})", "GET /v1.41/info HTTP/1.1"},
        {"1.52", R"({"Version":"29.0.0","MinAPIVersion":"1.44"})", "GET /v1.47/info HTTP/1.1"},
    };
    for (const Row& row : rows) {
        ScriptedEngine scripted;
        scripted.speaks(row.newest, row.version);
        scripted.on("/info", answer("{}"));
        const Connected connected(scripted.socket());
        CHECK(contains(row.expected, connected.engine->info().api_version));
        CHECK(scripted.seen("/info").at(0).line == row.expected);
        connected.engine->info();
        CHECK(scripted.seen("/_ping").size() == 1);
    }
}

TEST_CASE("an engine that does not yet send its version with a ping") {
    ScriptedEngine scripted;
    scripted.on("/_ping", answer("OK", "200 OK", "Server: Docker/1.12.6 (linux)\r\n"));
    scripted.on("/info", answer("{}"));
    CHECK(Connected(scripted.socket()).engine->info().api_version == "1.24");
}

TEST_CASE("an engine whose versions are all newer") {
    ScriptedEngine scripted;
    scripted.speaks("1.56", R"({"Version":"30.0.0","MinAPIVersion":"1.52"})");
    const Error error = error_of([&] { Connected(scripted.socket()).engine->info(); });
    CHECK(error.code() == Errc::unsupported);
    CHECK(contains(error.message(), "1.52 to 1.56"));
    CHECK(contains(error.message(), "1.24 to 1.47"));
}

TEST_CASE("an engine that is updated meanwhile") {
    ScriptedEngine scripted;
    scripted.on("/info", answer("{}"));
    const Connected connected(scripted.socket());
    CHECK(connected.engine->info().api_version == "1.41");
    scripted.speaks("1.52", R"({"Version":"29.0.0","MinAPIVersion":"1.44"})");
    scripted.on("/v1.41/",
                answer(R"({"message":"client version 1.41 is too old. Minimum supported )"
                       R"(API version is 1.44"})",
                       "400 Bad Request"));
    CHECK(connected.engine->info().api_version == "1.47");
}

TEST_CASE("what is not dockerd") {
    struct Row {
        std::string name;
        std::string ping;
        Errc expected;
        const char* words;
    };
    const Row rows[] = {
        {"a web server", answer("<html>", "404 Not Found"), Errc::corrupt, "is not dockerd"},
        {"one that says yes to everything", answer("OK"), Errc::corrupt, "no Api-Version"},
        {"another version", answer("OK", "200 OK", "Api-Version: new\r\n"), Errc::corrupt,
         "\"new\""},
        {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", Errc::corrupt, "is not dockerd"},
        {"Podman", answer("OK", "200 OK", "Api-Version: 1.41\r\nLibpod-API-Version: 4.3.1\r\n"),
         Errc::unsupported, "Podman"},
        {"dockerd that starts", answer("not yet", "503 Service Unavailable"), Errc::unavailable,
         "not yet"},
        {"one that closes", "", Errc::unavailable, "closed the connection"},
    };
    for (const Row& row : rows) {
        INFO(row.name);
        ScriptedEngine scripted;
        scripted.on("/_ping", row.ping);
        const Error error = error_of([&] { Connected(scripted.socket()).engine->info(); });
        CHECK(error.code() == row.expected);
        CHECK_MESSAGE(contains(error.message(), row.words), error.message());
        CHECK(contains(error.message(), scripted.socket()));
        CHECK(!error.next_step().empty());
    }
}

TEST_CASE("a socket that is not there") {
    const TemporaryDirectory directory;
    const Error error =
        error_of([&] { Connected((directory / "d.sock").string()).engine->info(); });
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "d.sock"));
    CHECK(contains(error.next_step(), "systemctl start docker"));
}

/// In place of a socket that may not be used: for root, there is none.
class Forbidden : public http::Client {
  public:
    std::unique_ptr<http::Response> send(const http::Request&, const std::stop_token&) override {
        throw Error(Errc::permission_denied, "cannot connect to /run/d.sock: Permission denied");
    }
};

TEST_CASE("a socket that may not be used") {
    Forbidden client;
    const Error error = error_of([&] { connect(client, "/run/d.sock", {})->info(); });
    CHECK(error.code() == Errc::permission_denied);
    CHECK(contains(error.next_step(), "group docker"));
}

TEST_CASE("hosts") {
    CHECK(socket_of("unix:///var/run/docker.sock") == "/var/run/docker.sock");
    CHECK(socket_of("/run/d.sock") == "/run/d.sock");
    for (const char* host :
         {"tcp://127.0.0.1:2375", "ssh://me@there", "fd://", "npipe:////./pipe/d"}) {
        CHECK(error_of([&] { socket_of(host); }).code() == Errc::unsupported);
    }
    for (const char* host : {"", "docker.sock", "unix://docker.sock"}) {
        CHECK(error_of([&] { socket_of(host); }).code() == Errc::usage);
    }
}

// Questions ---------------------------------------------------------------------------------------

TEST_CASE("an image that is there, and one that is not") {
    ScriptedEngine scripted;
    scripted.on("/images/", answer(kNoImage, "404 Not Found"));
    scripted.on("/images/alpine", answer(kImage));
    const Connected connected(scripted.socket());
    CHECK(connected.engine->inspect("alpine:3.20").value().id == "sha256:22");
    CHECK(!connected.engine->inspect("[::1]:5000/a b?c@sha256:1"));
    CHECK(scripted.seen("/images/").at(1).line ==
          "GET /v1.41/images/%5B::1%5D:5000/a%20b%3Fc@sha256:1/json HTTP/1.1");
}

TEST_CASE("a tag") {
    ScriptedEngine scripted;
    scripted.on("/tag?", answer("", "201 Created"));
    const Connected connected(scripted.socket());
    connected.engine->tag(std::string("alpine@") + kDigest, Reference::parse("r.example:5000/a:1"));
    CHECK(scripted.seen("/tag?").at(0).line == std::string("POST /v1.41/images/alpine@") + kDigest +
                                                   "/tag?repo=r.example%3A5000%2Fa&tag=1 HTTP/1.1");
    scripted.on("/tag?", answer(kNoImage, "404 Not Found"));
    CHECK(error_of([&] { connected.engine->tag("a", Reference::parse("b:1")); }).code() ==
          Errc::not_found);
}

TEST_CASE("containers of an engine") {
    ScriptedEngine scripted;
    scripted.on("/containers/json?all=1", answer(R"([{"Id":"1","State":"running"}])"));
    CHECK(Connected(scripted.socket()).engine->containers().size() == 1);
}

TEST_CASE("answers that are too large, or garbage") {
    ScriptedEngine scripted;
    const Connected connected(scripted.socket());
    const auto code = [&] { return error_of([&] { connected.engine->info(); }).code(); };
    scripted.on("/info", answer(std::string(33U << 20, ' ')));
    CHECK(code() == Errc::too_large);
    scripted.on("/info", answer("garbage"));
    CHECK(code() == Errc::corrupt);
}

TEST_CASE("an answer that does not come, or not to its end") {
    ScriptedEngine scripted;
    scripted.hang_after("/info", "HTTP/1.1 200 OK\r\n");
    SUBCASE("no header") {}
    SUBCASE("a body that is not complete") {
        scripted.hang_after("/info", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
    }
    const Connected connected(scripted.socket(), {.answer = 300ms, .download = 20s, .unpack = 20s});
    CHECK(error_of([&] { connected.engine->info(); }).code() == Errc::timed_out);
}

// Pulls -------------------------------------------------------------------------------------------

TEST_CASE("a pull") {
    ScriptedEngine scripted;
    scripted.on("/images/create", stream({R"({"status":"Pulling from a","id":"3.20"})",
                                          kDownloading, kDownloading, kDone}));
    const Connected connected(scripted.socket());
    SUBCASE("by tag") {
        const auto progress = pulled(*connected.engine, pull_of("alpine:3.20"));
        CHECK(scripted.seen("create").at(0).line ==
              "POST /v1.41/images/create?fromImage=docker.io%2Flibrary%2Falpine&tag=3.20&"
              "platform=linux%2Farm64 HTTP/1.1");
        REQUIRE(progress.size() == 1);
        CHECK(progress[0].layer == "1e");
        CHECK(progress[0].current == 99);
    }
    SUBCASE("by digest, which decides") {
        pulled(*connected.engine, pull_of(std::string("r.example/a:1@") + kDigest));
        CHECK(contains(scripted.seen("create").at(0).line,
                       "fromImage=r.example%2Fa&tag=sha256%3A1111"));
    }
    CHECK(!contains(scripted.seen("create").at(0).header, "X-Registry-Auth"));
}

TEST_CASE("the platform of a pull by an engine that knows none") {
    ScriptedEngine scripted;
    scripted.speaks("1.31", R"({"Version":"17.07.0"})");
    scripted.on("/images/create", stream({kDone}));
    const Connected connected(scripted.socket());
    PullRequest request = pull_of("alpine:3.20");
    request.platform = Platform::host();
    pulled(*connected.engine, request);
    CHECK(!contains(scripted.seen("create").at(0).line, "platform"));
    request.platform = Platform::parse("linux/mips64le");
    CHECK(error_of([&] { pulled(*connected.engine, request); }).code() == Errc::unsupported);
}

/// What follows "X-Registry-Auth: ", decoded.
std::string login_in(const std::string& header) {
    constexpr std::string_view kName = "\r\nX-Registry-Auth: ";
    const std::size_t at = header.find(kName);
    REQUIRE(at != std::string::npos);
    std::string text = header.substr(at + kName.size());
    text.resize(text.find("\r\n"));
    CHECK(text.find_first_of("+/") == std::string::npos);
    CHECK(text.size() % 4 == 0);
    std::ranges::replace(text, '-', '+');
    std::ranges::replace(text, '_', '/');
    return base64_decode(text).value();
}

TEST_CASE("credentials of a pull") {
    ScriptedEngine scripted;
    scripted.on("/images/create", stream({kDone}));
    const Connected connected(scripted.socket());
    PullRequest request = pull_of("r.example/a:1");
    request.login = RegistryLogin{
        .server = "r.example", .username = "me", .password = "\"SECRET\" \xC3\xBF\xC3\xBE ~~~"};
    pulled(*connected.engine, request);
    CHECK(login_in(scripted.seen("create").at(0).header) ==
          "{\"username\":\"me\",\"password\":\"\\\"SECRET\\\" \xC3\xBF\xC3\xBE ~~~\","
          "\"serveraddress\":\"r.example\"}");
    request.login = RegistryLogin{.server = "r.example", .identity_token = "SECRET"};
    pulled(*connected.engine, request);
    CHECK(login_in(scripted.seen("create").at(1).header) ==
          R"({"identitytoken":"SECRET","serveraddress":"r.example"})");
    scripted.on("/images/create", stream({R"({"error":"unauthorized: no SECRET here"})"}));
    const Error error = error_of([&] { pulled(*connected.engine, request); });
    CHECK(error.code() == Errc::unauthenticated);
}

TEST_CASE("pulls that fail") {
    struct Row {
        std::string name;
        std::string answer;
        Errc expected;
        const char* words;
    };
    const std::string cut = open_stream({kDownloading, kDownloading});
    const Row rows[] = {
        {"an error after 99 %",
         stream(
             {kDownloading,
              R"({"errorDetail":{"message":"write /x: no space left on device"},"error":"no"})"}),
         Errc::no_space, "cannot pull docker.io/library/alpine:3.20: write /x"},
        {"an error at once", answer(R"({"message":"toomanyrequests: slow"})", "500 No"),
         Errc::rate_limited, "toomanyrequests"},
        {"a stream that is cut", cut, Errc::unavailable, "closed the connection"},
        {"a stream that is cut in a line", cut.substr(0, cut.size() - 20), Errc::unavailable,
         "closed the connection"},
        {"a stream that ends early", stream({kDownloading}), Errc::unavailable, "ended its report"},
        {"an empty stream", stream({}), Errc::unavailable, "ended its report"},
        {"garbage", stream({kDownloading, "garbage"}), Errc::corrupt, "cannot be read"},
        {"a huge line", open_stream({std::string(2U << 20, 'x')}), Errc::too_large, "over 1 MiB"},
    };
    for (const Row& row : rows) {
        INFO(row.name);
        ScriptedEngine scripted;
        scripted.on("/json", answer(kNoImage, "404 Not Found"));
        scripted.on("/images/create", row.answer);
        const Error error = pull_error(scripted);
        CHECK(error.code() == row.expected);
        CHECK_MESSAGE(contains(error.message(), row.words), error.message());
        CHECK(!error.next_step().empty());
    }
}

TEST_CASE("a stream that does not say that the image is there, but it is") {
    ScriptedEngine scripted;
    scripted.on("/json", answer(kImage));
    scripted.on("/images/create", stream({kDownloading}));
    const Connected connected(scripted.socket());
    CHECK(pulled(*connected.engine, pull_of(std::string("alpine:3.20@") + kDigest)).size() == 1);
    CHECK(contains(scripted.seen("/json").at(0).line,
                   std::string("/images/docker.io/library/alpine@") + kDigest + "/json"));
}

TEST_CASE("pulls that hang") {
    ScriptedEngine scripted;
    SUBCASE("before anything is known") {
        scripted.hang_after("/images/create", open_stream({}));
        CHECK(contains(pull_error(scripted, {20s, 200ms, 20s}).message(),
                       "no progress for 0.2 s while downloading"));
    }
    SUBCASE("in a download") {
        scripted.hang_after("/images/create", open_stream({kDownloading}));
        CHECK(contains(pull_error(scripted, {20s, 200ms, 20s}).message(),
                       "no progress for 0.2 s while downloading"));
    }
    SUBCASE("while a layer is unpacked, which may take longer") {
        scripted.hang_after("/images/create",
                            open_stream({R"({"status":"Extracting","id":"1e"})"}));
        CHECK(contains(pull_error(scripted, {20s, 20s, 200ms}).message(),
                       "no progress for 0.2 s while unpacking"));
    }
    SUBCASE("before it answers") {
        scripted.hang_after("/images/create", "");
        CHECK(contains(pull_error(scripted, {20s, 200ms, 20s}).message(),
                       "no progress for 0.2 s while downloading"));
    }
}

TEST_CASE("a stop request ends a pull") {
    ScriptedEngine scripted;
    scripted.hang_after("/images/create", open_stream({kDownloading}));
    Connected connected(scripted.socket());
    const Error error = error_of([&] {
        connected.engine->pull(pull_of("alpine:3.20"),
                               [&](const PullProgress&) { connected.stop.request_stop(); });
    });
    CHECK(error.code() == Errc::cancelled);
}

// Loads -------------------------------------------------------------------------------------------

class Archive : public Source {
  public:
    std::size_t read(std::span<std::byte> buffer) override {
        std::ranges::fill(buffer, std::byte('t'));
        return buffer.size();
    }
};

TEST_CASE("a load") {
    ScriptedEngine scripted;
    scripted.on("/images/load", stream({R"({"stream":"Loaded image: a:1\n"})"}));
    Archive archive;
    Connected(scripted.socket()).engine->load(archive, 1'000'000);
    const auto request = scripted.seen("/images/load").at(0);
    CHECK(request.line == "POST /v1.41/images/load?quiet=1 HTTP/1.1");
    CHECK(request.body == std::string(1'000'000, 't'));
}

TEST_CASE("loads that fail") {
    struct Row {
        std::string answer;
        Errc expected;
        const char* words;
    };
    const Row rows[] = {
        {stream({R"({"error":"Error processing tar file: no space left on device"})"}),
         Errc::no_space, "no space"},
        {stream({R"({"stream":"Loaded image: a:1\n"})",
                 R"({"stream":"Error unpacking image a:1: no space left on device\n"})"}),
         Errc::no_space, "Error unpacking image a:1"},
        {stream({}), Errc::unavailable, "before the images were loaded"},
        {open_stream({R"({"stream":"Loaded image: a:1\n"})"}), Errc::unavailable, "closed"},
        {answer(R"({"message":"no"})", "500 No"), Errc::failed_precondition, "cannot load"},
    };
    for (const Row& row : rows) {
        ScriptedEngine scripted;
        scripted.on("/images/load", row.answer);
        Archive archive;
        const Error error =
            error_of([&] { Connected(scripted.socket()).engine->load(archive, 10); });
        CHECK(error.code() == row.expected);
        CHECK_MESSAGE(contains(error.message(), row.words), error.message());
    }
}

// Events ------------------------------------------------------------------------------------------

TEST_CASE("events until dockerd stops") {
    ScriptedEngine scripted;
    scripted.on("/events", stream({R"({"Type":"container","Action":"create"})",
                                   R"({"Type":"container","Action":"start"})"}));
    const Connected connected(scripted.socket());
    std::string seen;
    const Error error = error_of([&] {
        connected.engine->follow_events(
            std::chrono::system_clock::time_point(1'700'000'000'000'000'042ns),
            [&] { seen += "subscribed "; },
            [&](const EngineEvent& event) { seen += event.action + " "; });
    });
    CHECK(seen == "subscribed create start ");
    CHECK(error.code() == Errc::unavailable);
    CHECK(scripted.seen("/events").at(0).line ==
          "GET /v1.41/events?since=1700000000.000000042&filters="
          "%7B%22type%22%3A%5B%22container%22%2C%22image%22%5D%7D HTTP/1.1");
}

TEST_CASE("a stop request ends the wait for events") {
    ScriptedEngine scripted;
    scripted.hang_after("/events", open_stream({}));
    Connected connected(scripted.socket(), {.answer = 20s, .download = 1ms, .unpack = 1ms});
    const Error error = error_of([&] {
        connected.engine->follow_events(
            {}, [&] { connected.stop.request_stop(); }, [](const EngineEvent&) {});
    });
    CHECK(error.code() == Errc::cancelled);
}

}  // namespace
}  // namespace prebake::docker::engine_test
