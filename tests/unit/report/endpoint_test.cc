#include "agent/report/endpoint.h"

#include <doctest/doctest.h>

#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/json.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/report/served.h"

namespace prebake::report {
namespace {

using std::chrono::seconds;
using tests::contains;
using tests::thrown_by;

TEST_CASE("every document, on the socket and over TCP of both families") {
    struct Row {
        const char* target;
        unsigned status;
        const char* content_type;
        const char* text;
    };
    const Row rows[] = {
        {"/v1/status", 200, "application/json", "prebake.v1.NodeStatus"},
        {"/v1/images", 200, "application/json", "prebake.v1.NodeImages"},
        {"/v1/ledger", 200, "application/json", "prebake.v1.Ledger"},
        {"/v1/trace", 404, "application/json", "no boot of this node was recorded"},
        {"/readyz", 503, "text/plain; charset=utf-8", "readyz check failed"},
        {"/livez", 200, "text/plain; charset=utf-8", "ok"},
        {"/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", "prebake_ready 0"},
        {"/nothing", 404, "application/json", "prebake.v1.Failure"},
        {"/v1/status?wait=x", 400, "application/json", "wait=SECONDS"},
    };
    Served served;
    served.publish(view_of(false));
    auto addresses = served.endpoint().addresses();
    CHECK(addresses.front().starts_with("127.0.0.1:"));
    CHECK(addresses.back() == served.socket());
    for (const auto& address : addresses) {
        CAPTURE(address);
        StreamClient client(address);
        for (const auto& row : rows) {
            CAPTURE(row.target);
            const Reply reply = client.get(row.target).read_reply();
            CHECK(reply.status == row.status);
            CHECK(reply.field("Content-Type") == row.content_type);
            CHECK(reply.field("Cache-Control") == "no-store");
            CHECK(reply.field("X-Content-Type-Options") == "nosniff");
            CHECK(reply.field("Server").empty());
            CHECK(contains(reply.body, row.text));
            CHECK(reply.body.ends_with('\n'));
        }
    }
    CHECK(served.problems().empty());
}

TEST_CASE("a connection serves one request after the other") {
    Served served;
    served.publish(view_of(true));
    StreamClient client = served.client();
    SUBCASE("kept alive") {
        for (int i = 0; i < 3; ++i) {
            const Reply reply = client.get("/livez").read_reply();
            CHECK(reply.status == 200);
            CHECK(reply.field("Connection") == "keep-alive");
        }
    }
    SUBCASE("pipelined, answered in order") {
        client.send(
            "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
            "POST /livez HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK(client.read_reply().body == "ok\n");
        const Reply refused = client.read_reply();
        CHECK(refused.status == 405);
        CHECK(refused.field("Allow") == "GET, HEAD");
        CHECK(client.read_reply().body == "readyz check passed\n");
    }
    SUBCASE("byte by byte") {
        for (const char c : std::string_view("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")) {
            client.send({&c, 1});
        }
        CHECK(client.read_reply().status == 200);
    }
    SUBCASE("HEAD: the length of the GET response, without its body") {
        client.send("HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
        const Reply head = client.read_reply(StreamClient::Body::none);
        CHECK(head.status == 200);
        CHECK(head.field("Content-Length") == "20");
        CHECK(client.get("/livez").read_reply().body == "ok\n");
    }
    SUBCASE("the client closes") {
        client.send("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        const Reply reply = client.read_reply();
        CHECK(reply.status == 200);
        CHECK(reply.field("Connection") == "close");
        CHECK(client.is_closed());
    }
    SUBCASE("HTTP/1.0") {
        client.send("GET /livez HTTP/1.0\r\n\r\n");
        const Reply reply = client.read_reply();
        CHECK(reply.header.starts_with("HTTP/1.0 200 OK\r\n"));
        CHECK(reply.body == "ok\n");
        CHECK(client.is_closed());
    }
    SUBCASE("a client that sends no more still gets its answers") {
        client.get("/livez").get("/livez").end_sending();
        CHECK(client.read_reply().status == 200);
        CHECK(client.read_reply().status == 200);
        CHECK(client.is_closed());
    }
}

bool is_ready(const Reply& reply) {
    v1::NodeStatus status;
    from_json(reply.body, status, "the answer", "");
    return status.ready();
}

TEST_CASE("wait: answered when the node becomes ready") {
    Served served;
    StreamClient first = served.client();
    StreamClient second(served.tcp());
    first.get("/v1/status?wait=300").get("/livez");
    second.get("/v1/status?wait=300");
    REQUIRE(served.answer_now() == 200);
    served.publish(view_of(false));  // does not end the wait
    REQUIRE(served.answer_now() == 200);
    second.get("/readyz");  // while it waits
    served.publish(view_of(true));
    for (StreamClient* client : {&first, &second}) {
        const Reply reply = client->read_reply();
        CHECK(reply.status == 200);
        CHECK(is_ready(reply));
        CHECK(client->read_reply().status == 200);
    }
}

TEST_CASE("wait: not if the node is ready, and only for the given time if it is not") {
    Served served({.max_wait = seconds(1)});
    CHECK_FALSE(is_ready(served.client().get("/v1/status?wait=300").read_reply()));
    served.publish(view_of(true));
    CHECK(is_ready(served.client().get("/v1/status?wait=300").read_reply()));
}

NodeView view_with_hydration(const char* status, const char* reason) {
    NodeView view = view_of(true);
    v1::Condition& condition = *view.status.add_conditions();
    condition.set_type("Hydrated");
    condition.set_status(status);
    condition.set_reason(reason);
    return view;
}

TEST_CASE("wait: for hydration, until it is done or cannot be done") {
    for (const auto& row : {std::pair("True", "Hydrated"), std::pair("NotApplicable", "NotNeeded"),
                            std::pair("False", "HydrationIncomplete")}) {
        const char* const reason = row.second;
        CAPTURE(reason);
        Served served;
        served.publish(view_with_hydration("Unknown", "NotRun"));
        StreamClient client = served.client();
        client.get("/v1/status?wait=300&for=hydrated");
        REQUIRE(served.answer_now() == 200);
        served.publish(view_with_hydration("False", "Hydrating"));  // does not end the wait
        REQUIRE(served.answer_now() == 200);
        served.publish(view_with_hydration(row.first, reason));
        const Reply reply = client.read_reply();
        CHECK(contains(reply.body, reason));
    }
}

TEST_CASE("wait: the end of the endpoint ends it") {
    StreamClient client = [] {
        Served served;
        StreamClient waiting = served.client();
        waiting.get("/v1/status?wait=300");
        REQUIRE(served.answer_now() == 200);
        return waiting;
    }();
    CHECK(client.read_reply().status == 0);
}

TEST_CASE("an address that is not loopback is refused, a second daemon too") {
    const TemporaryDirectory directory;
    const StatusHolder holder;
    const auto no_problem = [](const std::string& problem) { FAIL(problem); };
    const auto error_with = [&](EndpointOptions options) {
        return thrown_by([&] { const Endpoint endpoint(options, holder, no_problem); });
    };
    CHECK(error_with({.socket = "", .listen = {"0.0.0.0:9813"}}).code() == Errc::usage);

    Served served;
    CHECK(error_with({.socket = served.socket(), .listen = {}}).code() == Errc::conflict);
    CHECK(served.answer_now() == 200);

    // No listener at all is allowed.
    const Endpoint silent({.socket = "", .listen = {}}, holder, no_problem);
    CHECK(silent.addresses().empty());
}

TEST_CASE("a listener that fails is tried again until it listens, and the others serve") {
    std::optional<Served> first(std::in_place);
    const std::string taken = first->tcp();
    const TemporaryDirectory directory;
    const StatusHolder holder;
    std::mutex mutex;
    std::vector<std::string> problems;
    const Endpoint second({.socket = directory / "s",
                           .socket_group = Served::own_group(),
                           .listen = {taken},
                           .retry_time = std::chrono::milliseconds(5)},
                          holder, [&](const std::string& problem) {
                              const std::scoped_lock lock(mutex);
                              problems.push_back(problem);
                          });
    CHECK(contains(second.problem(), "cannot listen on " + taken));
    CHECK(second.addresses() == std::vector{(directory / "s").string()});
    CHECK(StreamClient((directory / "s").string()).get("/livez").read_reply().status == 200);

    first.reset();
    while (!second.problem().empty()) std::this_thread::yield();
    CHECK(second.addresses() == std::vector{(directory / "s").string(), taken});
    const std::scoped_lock lock(mutex);
    REQUIRE(problems.size() == 2);
    CHECK(contains(problems[0], "cannot listen on " + taken));
    CHECK(problems[1] == "listening now on " + taken);
}

TEST_CASE("TCP can be turned off") {
    const TemporaryDirectory directory;
    const StatusHolder holder;
    const Endpoint quiet({.socket = directory / "s",
                          .socket_group = Served::own_group(),
                          .listen = {"127.0.0.1:0"},
                          .tcp = TcpAccess::off},
                         holder, [](const std::string& problem) { FAIL(problem); });
    CHECK(quiet.addresses() == std::vector{(directory / "s").string()});
}

}  // namespace
}  // namespace prebake::report
