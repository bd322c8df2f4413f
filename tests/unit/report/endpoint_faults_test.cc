// Wrong behavior of clients, by mistake or on purpose.

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>

#include "agent/report/endpoint.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/report/served.h"

namespace prebake::report {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using tests::contains;

constexpr milliseconds kNever = std::chrono::hours(1);

TEST_CASE("an invalid request is answered, and the connection is closed") {
    const std::string get = "GET /livez HTTP/1.1\r\nHost: localhost\r\n";
    struct Row {
        const char* name;
        std::string bytes;
        unsigned status;
    };
    const Row rows[] = {
        {"no HTTP at all", "\x16\x03\x01\x02\x01\x01\xfc\x03\x03 hello?\r\n\r\n", 400},
        {"zeros", std::string(64, '\0'), 400},
        {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"another version", "GET / HTTP/9.9\r\n\r\n", 400},
        {"no version", "GET /\r\n\r\n", 400},
        {"a control character in the target", "GET /li\x01vez HTTP/1.1\r\nHost: localhost\r\n\r\n",
         400},
        {"a field without a colon", get + "nonsense\r\n\r\n", 400},
        {"a space before the colon", get + "Accept : x\r\n\r\n", 400},
        {"a zero in a field", get + "X: a" + std::string(1, '\0') + "b\r\n\r\n", 400},
        {"two lengths", get + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n", 400},
        {"a length that is none", get + "Content-Length: -1\r\n\r\n", 400},
        {"length and chunks", get + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"a body", get + "Content-Length: 5\r\n\r\nhello", 413},
        {"a body that never comes", get + "Content-Length: 99999999999\r\n\r\n", 413},
        {"a body that waits for leave", get + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
         413},
        {"a body in chunks", get + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
        {"a coded body", get + "Transfer-Encoding: gzip\r\n\r\n", 413},
        {"a large field", get + "X: " + std::string(9000, 'x') + "\r\n\r\n", 431},
        {"many fields",
         [&] {
             std::string bytes = get;
             for (int i = 0; i < 900; ++i) bytes += "A: 0123456789\r\n";
             return bytes + "\r\n";
         }(),
         431},
        {"a large target", "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n", 431},
        {"a large method", std::string(9000, 'A'), 431},
        {"much more than the limit", get + "X: " + std::string(3'000'000, 'x'), 431},
    };
    Served served;
    for (const auto& row : rows) {
        CAPTURE(row.name);
        StreamClient client(served.tcp());
        const Reply reply = client.send(row.bytes).read_reply();
        CHECK(reply.status == row.status);
        CHECK(reply.field("Connection") == "close");
        CHECK(contains(reply.body, "prebake.v1.Failure"));
        CHECK(client.is_closed());
    }
    CHECK(served.answer_now() == 200);
}

TEST_CASE("a length of zero is no body") {
    Served served;
    StreamClient client(served.tcp());
    client.send("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    CHECK(client.read_reply().status == 200);
    CHECK(client.get("/livez").read_reply().status == 200);
}

TEST_CASE("a header just below the limit is read, wherever its pieces end") {
    Served served;
    const std::string start = "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ";
    const std::string filler(8000 - start.size(), 'x');
    StreamClient client(served.tcp());
    for (int i = 0; i < 3; ++i) client.send(start + filler + "\r\n\r\n");
    for (int i = 0; i < 3; ++i) CHECK(client.read_reply().status == 200);
}

TEST_CASE("a rebound host name is rejected, only on TCP") {
    Served served;
    const std::string request = "GET /v1/ledger HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    const std::string two = "GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n";
    StreamClient tcp(served.tcp());
    CHECK(tcp.send(request).read_reply().status == 421);
    CHECK(tcp.send("GET /livez HTTP/1.1\r\n\r\n").read_reply().status == 400);
    CHECK(tcp.send(two).read_reply().status == 400);
    CHECK(tcp.get("/livez").read_reply().status == 200);
    CHECK(served.client().send(request).read_reply().status == 200);
}

TEST_CASE("a request that does not end is ended") {
    Served served({.first_byte_time = milliseconds(300),
                   .header_time = milliseconds(300),
                   .idle_time = milliseconds(300)});
    StreamClient slow(served.tcp());
    slow.send("GET /livez HTTP/1.1\r\nHo");
    const Reply reply = slow.read_reply();
    CHECK(reply.status == 408);
    CHECK(slow.is_closed());

    StreamClient steady(served.tcp());
    // Each byte arrives in time, the whole request does not.
    const auto deadline = steady_clock::now() + std::chrono::minutes(2);
    std::size_t sent = 0;
    pollfd answer{.fd = steady.fd(), .events = POLLIN, .revents = 0};
    while (::poll(&answer, 1, 5) == 0 && steady_clock::now() < deadline) {
        steady.send("x");
        ++sent;
    }
    CHECK(sent < 1000);
    CHECK(steady.read_reply().status == 408);

    StreamClient idle(served.tcp());
    CHECK(idle.get("/livez").read_reply().status == 200);
    CHECK(idle.read_reply().status == 0);  // closed without an answer, because there was no request

    StreamClient silent(served.tcp());
    CHECK(silent.read_reply().status == 0);
}

TEST_CASE("too many connections: further ones are rejected until one closes") {
    Served served({.max_connections = 2, .max_waiting = 2, .reserved_for_root = 0});
    StreamClient first = served.client();
    CHECK(first.get("/livez").read_reply().status == 200);
    first.get("/v1/status?wait=300");
    std::optional<StreamClient> second(served.client());
    second->get("/v1/status?wait=300");

    StreamClient third = served.client();
    const Reply refused = third.get("/livez").read_reply();
    CHECK(refused.status == 503);
    CHECK(refused.field("Retry-After") == "1");
    CHECK(contains(refused.body, "too many connections"));
    CHECK(third.is_closed());

    // The other kind of socket has its own places.
    CHECK(StreamClient(served.tcp()).get("/livez").read_reply().status == 200);

    // A waiting client disconnects, and its place is free at once, long before its wait ends.
    second.reset();
    const auto deadline = steady_clock::now() + std::chrono::minutes(2);
    unsigned status = 503;
    while (status != 200 && steady_clock::now() < deadline) status = served.answer_now();
    CHECK(status == 200);
    served.publish(view_of(true));
    CHECK(first.read_reply().status == 200);
}

TEST_CASE("waiting connections leave room for others") {
    Served served({.max_connections = 8, .max_waiting = 2});
    for (const std::string& address : {served.socket(), served.tcp()}) {
        CAPTURE(address);
        StreamClient first(address);
        first.get("/v1/status?wait=300");
        std::optional<StreamClient> second(address);
        second->get("/v1/status?wait=300");
        CHECK(StreamClient(address).get("/livez").read_reply().status ==
              200);  // they are waiting now

        std::vector<StreamClient> more;
        more.reserve(6);
        for (int i = 0; i < 6; ++i) more.emplace_back(address);
        for (auto& client : more) {
            const Reply reply = client.get("/v1/status?wait=300").read_reply();
            CHECK(reply.status == 200);
            CHECK(reply.field("Connection") == "close");
        }
        // Those six have not closed.
        CHECK(StreamClient(address).get("/livez").read_reply().status == 200);

        // A client that waited makes place for another one.
        second.reset();
        const auto deadline = steady_clock::now() + std::chrono::minutes(2);
        bool is_waiting = false;
        std::optional<StreamClient> third;
        while (!is_waiting && steady_clock::now() < deadline) {
            third.emplace(address).get("/v1/status?wait=300");
            pollfd answer{.fd = third->fd(), .events = POLLIN, .revents = 0};
            is_waiting = ::poll(&answer, 1, 200) == 0;
        }
        CHECK(is_waiting);
        served.publish(view_of(true));
        CHECK(first.read_reply().status == 200);
        CHECK(third->read_reply().field("Connection") == "keep-alive");
        served.publish(view_of(false));
    }
}

TEST_CASE("a flood of connections does not affect later ones") {
    Served served({.max_connections = 4, .first_byte_time = milliseconds(500)});
    std::vector<StreamClient> flood;
    for (int i = 0; i < 100; ++i) flood.push_back(served.client());
    for (auto& client : flood) CHECK(client.is_closed());
    CHECK(served.answer_now() == 200);
}

TEST_CASE("silent clients lose their places to those that ask") {
    // Without deadlines: only the places count.
    Served served({.max_connections = 4,
                   .reserved_for_root = 0,
                   .first_byte_time = kNever,
                   .header_time = kNever,
                   .idle_time = kNever,
                   .write_time = kNever});
    const std::string get = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (const std::string& address : {served.socket(), served.tcp()}) {
        for (const std::string& sent : {std::string(), get.substr(0, 10), get}) {
            CAPTURE(address);
            CAPTURE(sent);
            std::vector<StreamClient> slow;
            for (int i = 0; i < 4; ++i) {
                slow.emplace_back(address).send(sent);
                if (sent == get) CHECK(slow.back().read_reply().status == 200);
            }
            std::vector<StreamClient> asking;
            for (auto& client : slow) {
                CHECK(asking.emplace_back(address).get("/livez").read_reply().status == 200);
                // The oldest one is closed, without an answer.
                CHECK(client.read_reply().status == 0);
            }
        }
    }
}

TEST_CASE("root and the daemon's user have places of their own on the socket") {
    Served served({.max_connections = 0, .reserved_for_root = 2, .idle_time = kNever});
    StreamClient first = served.client();
    CHECK(first.get("/livez").read_reply().status == 200);
    StreamClient second = served.client();
    CHECK(second.get("/livez").read_reply().status == 200);
    CHECK(StreamClient(served.tcp()).get("/livez").read_reply().status == 503);
    // Among themselves they do as others.
    CHECK(served.client().get("/livez").read_reply().status == 200);
    CHECK(first.read_reply().status == 0);
    CHECK(second.get("/livez").read_reply().status == 200);
}

TEST_CASE("a user has a limited number of the places on the socket, and takes none of root's") {
    if (::geteuid() != 0) return;  // there is no other user to connect as
    Served served(
        {.max_connections = 4, .max_of_user = 2, .reserved_for_root = 0, .idle_time = kNever});
    const std::filesystem::path socket = served.socket();
    ::chmod(socket.parent_path().parent_path().c_str(), 0755);
    ::chmod(socket.parent_path().c_str(), 0755);
    ::chmod(socket.c_str(), 0666);
    std::vector<StreamClient> ours;
    for (int i = 0; i < 2; ++i)
        CHECK(ours.emplace_back(socket).get("/livez").read_reply().status == 200);
    const std::string told = tests::as_anybody([&] {
        std::vector<StreamClient> clients;
        std::string statuses;
        for (int i = 0; i < 4; ++i)
            statuses +=
                std::to_string(clients.emplace_back(socket).get("/livez").read_reply().status) +
                " ";
        // The first two have lost their places.
        for (auto& client : clients)
            statuses += std::to_string(client.get("/livez").read_reply().status) + " ";
        return statuses;
    });
    CHECK(told == "200 200 200 200 0 0 200 200 ");
    for (auto& client : ours) CHECK(client.get("/livez").read_reply().status == 200);
}

TEST_CASE("a user has a limited number of the places to wait, and not the last ones") {
    if (::geteuid() != 0) return;  // there is no other user to connect as
    struct Row {
        const char* name;
        EndpointOptions options;
        int places;  ///< of one user
    };
    const Row rows[] = {
        {"its own limit", {.max_waiting = 6, .max_waiting_of_user = 2, .waiting_for_root = 1}, 2},
        {"what is left for root",
         {.max_waiting = 6, .max_waiting_of_user = 4, .waiting_for_root = 5},
         1},
        {"all of them are for root", {.max_waiting = 2, .waiting_for_root = 4}, 0},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Served served(row.options);
        const std::filesystem::path socket = served.socket();
        ::chmod(socket.parent_path().parent_path().c_str(), 0755);
        ::chmod(socket.parent_path().c_str(), 0755);
        ::chmod(socket.c_str(), 0666);
        const std::string told = tests::as_anybody([&] {
            std::vector<StreamClient> waiting;
            for (int i = 0; i < row.places; ++i)
                waiting.emplace_back(socket).get("/v1/status?wait=300");
            // When this is answered, they wait.
            StreamClient(socket).get("/livez").read_reply();
            return StreamClient(socket).get("/v1/status?wait=300").read_reply().field("Connection");
        });
        CHECK(told == "close");
        StreamClient root(socket);
        root.get("/v1/status?wait=300");
        CHECK(served.answer_now() == 200);
        served.publish(view_of(true));
        CHECK(root.read_reply().field("Connection") == "keep-alive");
    }
}

TEST_CASE("a client that does not read is dropped and delays no other") {
    Served served({.write_time = milliseconds(1000)});
    NodeView view = view_of(true);
    for (int i = 0; i < 6000; ++i) {
        view.ledger.add_images()->set_name("registry.example/a/long/name:" + std::to_string(i));
    }
    served.publish(std::move(view));
    StreamClient slow = served.client();
    slow.get("/v1/ledger");
    CHECK(served.answer_now() == 200);
    slow.wait_for_hangup();
    const Reply reply = slow.read_reply();
    CHECK(reply.status == 200);
    CHECK(reply.body.size() < std::stoul(reply.field("Content-Length")));

    const Reply whole = served.client().get("/v1/ledger").read_reply();
    CHECK(whole.body.size() == std::stoul(whole.field("Content-Length")));
    CHECK(whole.body.size() > 1'000'000);  // otherwise it would fit into the socket's buffers
}

TEST_CASE("requests are not read ahead of their answers") {
    Served served;
    StreamClient client = served.client();
    client.get("/v1/status?wait=300");
    // More than the buffer for one request while it waits: the client is disconnected.
    client.send(std::string(100'000, 'x'));
    CHECK(client.read_reply().status == 0);
    CHECK(served.answer_now() == 200);
}

}  // namespace
}  // namespace prebake::report
