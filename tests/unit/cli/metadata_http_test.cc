#include "agent/cli/metadata_http.h"

#include <doctest/doctest.h>

#include <mutex>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/http/loopback_server.h"

namespace prebake::cli {
namespace {

using http::LoopbackServer;
using http::ServerConnection;
using machine::MetadataRequest;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kAmple{30'000};

TEST_CASE("method and headers arrive, status and body come back") {
    std::mutex mutex;
    std::string seen;
    LoopbackServer server([&](ServerConnection& connection, int) {
        const std::string request = connection.read_request();
        {
            const std::lock_guard lock(mutex);
            seen = request;
        }
        connection.send(
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone");
    });
    const auto client = make_metadata_client();
    const auto response = client->send({.method = MetadataRequest::Method::put,
                                        .url = server.url("/latest/api/token"),
                                        .headers = {{"X-Ttl", "60"}}},
                                       kAmple, {});
    CHECK(response.status == 404);
    CHECK(response.body == "none");
    const std::lock_guard lock(mutex);
    CHECK(tests::contains(seen, "PUT /latest/api/token HTTP/1.1\r\n"));
    CHECK(tests::contains(seen, "X-Ttl: 60\r\n"));
    CHECK(tests::contains(seen, "Content-Length: 0\r\n"));
    CHECK_FALSE(tests::contains(seen, "X-Forwarded-For"));
}

TEST_CASE("a request is limited in time and bytes, however the server behaves") {
    struct Row {
        const char* name;
        LoopbackServer::Handler handler;
        milliseconds limit;
        Errc code;
    };
    const Row rows[] = {
        {"silence", [](ServerConnection& connection, int) { connection.wait_for_close(); },
         milliseconds(50), Errc::timed_out},
        {"a byte now and then, without end",
         [](ServerConnection& connection, int) {
             connection.read_request();
             connection.send("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
             // Ends when the client has closed: send() then fails, and wait_for_close() returns.
             timeval pause{.tv_sec = 0, .tv_usec = 10'000};
             ::setsockopt(connection.fd(), SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause);
             char byte = 0;
             while (::recv(connection.fd(), &byte, 1, 0) != 0) connection.send("x");
         },
         milliseconds(300), Errc::timed_out},
        {"more than any metadata",
         [](ServerConnection& connection, int) {
             connection.read_request();
             connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" +
                             std::string(1'000'000, 'x'));
         },
         kAmple, Errc::too_large},
        {"something else than HTTP",
         [](ServerConnection& connection, int) {
             connection.read_request();
             connection.send("220 mail.example.com ESMTP\r\n");
         },
         kAmple, Errc::corrupt},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        LoopbackServer server(row.handler);
        const auto client = make_metadata_client();
        const auto began = steady_clock::now();
        const Error error = tests::thrown_by([&] {
            client->send({.method = {}, .url = server.url("/"), .headers = {}}, row.limit, {});
        });
        CHECK(error.code() == row.code);
        CHECK(steady_clock::now() - began < kAmple);
    }
}

TEST_CASE("a stop request is not a timeout") {
    std::stop_source source;
    LoopbackServer server([&](ServerConnection& connection, int) {
        connection.read_request();
        source.request_stop();
        connection.wait_for_close();
    });
    const auto client = make_metadata_client();
    const Error error = tests::thrown_by([&] {
        client->send({.method = {}, .url = server.url("/"), .headers = {}}, kAmple,
                     source.get_token());
    });
    CHECK(error.code() == Errc::cancelled);
}

}  // namespace
}  // namespace prebake::cli
