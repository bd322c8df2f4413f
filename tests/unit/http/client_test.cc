#include <doctest/doctest.h>
#include <sys/time.h>
#include <sys/un.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>
#include <vector>

#include "agent/base/stream.h"
#include "agent/http/client.h"
#include "tests/unit/http/error_of.h"
#include "tests/unit/http/loopback_server.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::http {
namespace {

using tests::contains;
using tests::error_of;

using namespace std::chrono_literals;

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\n";

std::unique_ptr<Client> client(std::chrono::milliseconds stall = 20s) {
    return make_client({.connect = 20s, .stall = stall}, "prebake/test");
}

Request get(std::string url) {
    Request request;
    request.url = std::move(url);
    return request;
}

std::string body_of(Response& response) {
    return read_up_to(response, 64U << 20).value();
}

std::string answer(std::string_view body) {
    return std::string(kOk) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           std::string(body);
}

std::string repeated(std::string_view text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
}

/// Responds to every request on every connection with `text`.
LoopbackServer::Handler always(std::string text) {
    return [text = std::move(text)](ServerConnection& connection, int) {
        while (!connection.read_request().empty()) connection.send(text);
    };
}

/// Sends `text` once and closes.
LoopbackServer::Handler once(std::string text) {
    return [text = std::move(text)](ServerConnection& connection, int) {
        if (!connection.read_request().empty()) connection.send(text);
    };
}

TEST_CASE("a request has the required headers and no others") {
    std::promise<std::string> received;
    LoopbackServer server([&](ServerConnection& connection, int) {
        received.set_value(connection.read_request());
        connection.send(answer(""));
    });
    Request request = get(server.url("/v2/a?x=%20y#fragment"));
    request.headers = {{"Range", "bytes=5-"}};
    CHECK(client()->send(request, {})->status == 200);
    const std::string text = received.get_future().get();
    CHECK(text.starts_with("GET /v2/a?x=%20y HTTP/1.1\r\n"));
    CHECK(contains(text, "\r\nHost: 127.0.0.1:" + server.port() + "\r\n"));
    CHECK(contains(text, "\r\nUser-Agent: prebake/test\r\n"));
    CHECK(contains(text, "\r\nAccept-Encoding: identity\r\n"));
    CHECK(contains(text, "\r\nRange: bytes=5-\r\n"));
}

TEST_CASE("a post carries its body") {
    std::promise<std::string> received;
    LoopbackServer server([&](ServerConnection& connection, int) {
        std::string text = connection.read_request();
        char body[3] = {};
        if (::recv(connection.fd(), body, sizeof body, MSG_WAITALL) == 3) text.append(body, 3);
        received.set_value(text);
        connection.send(answer(""));
    });
    Request request = get(server.url("/"));
    request.method = Method::post;
    request.body = "a=b";
    CHECK(client()->send(request, {})->status == 200);
    const std::string text = received.get_future().get();
    CHECK(text.starts_with("POST / HTTP/1.1\r\n"));
    CHECK(contains(text, "\r\nContent-Length: 3\r\n"));
    CHECK(text.ends_with("\r\n\r\na=b"));
}

TEST_CASE("bodies in every transfer encoding") {
    const std::string large(3'000'000, 'x');
    struct Row {
        std::string name;
        std::string answer;
        std::string body;
        std::optional<std::uint64_t> length;
    };
    const Row rows[] = {
        {"with a length", answer("hello"), "hello", 5},
        {"empty", answer(""), "", 0},
        {"large", answer(large), large, large.size()},
        {"chunked",
         std::string(kOk) +
             "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
         "hello",
         {}},
        {"to the end of the connection", std::string(kOk) + "\r\nhello", "hello", {}},
        {"after interim answers",
         "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" +
             answer("hello"),
         "hello", 5},
        {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 5},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        LoopbackServer server(once(row.answer));
        const auto http = client();
        for (const std::size_t piece : {1'000U, 1'048'576U}) {
            const auto response = http->send(get(server.url("/")), {});
            CHECK(response->status == 200);
            CHECK(response->content_length == row.length);
            std::string text;
            std::string buffer(piece, '\0');
            std::size_t got = 0;
            do {
                got = response->read(std::as_writable_bytes(std::span(buffer)));
                text.append(buffer, 0, got);
            } while (got == buffer.size());
            CHECK(text == row.body);
            CHECK(response->read(std::as_writable_bytes(std::span(buffer))) == 0);
        }
    }
}

TEST_CASE("HEAD, 204 and 304 have no body") {
    for (const std::string status : {"200 OK", "204 No Content", "304 Not Modified"}) {
        CAPTURE(status);
        LoopbackServer server(
            always(std::string("HTTP/1.1 ") + status + "\r\nContent-Length: 1234\r\n\r\n"));
        Request request = get(server.url("/"));
        request.method = Method::head;
        const auto http = client();
        for (int i = 0; i < 2; ++i) {
            const auto response = http->send(request, {});
            CHECK(response->content_length == 1234);
            CHECK(body_of(*response).empty());
        }
        CHECK(server.connections() == 1);
    }
}

TEST_CASE("headers arrive in order, repeated ones too") {
    LoopbackServer server(
        once(std::string(kOk) +
             "WWW-Authenticate: Basic\r\nwww-authenticate:  Bearer realm=\"x\" \r\n"
             "Content-Length: 0\r\n\r\n"));
    const auto response = client()->send(get(server.url("/")), {});
    CHECK(find_headers(response->headers, "WWW-Authenticate") ==
          std::vector<std::string>{"Basic", "Bearer realm=\"x\""});
}

TEST_CASE("a connection is used again after its body was read, and only then") {
    struct Row {
        std::string name;
        std::string answer;
        bool read_body;
        int connections;
    };
    const Row rows[] = {
        {"body read", answer("hello"), true, 1},
        {"body not read", answer("hello"), false, 2},
        {"nothing to read", answer(""), false, 1},
        {"chunked", std::string(kOk) + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
         true, 1},
        {"the server will close",
         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", true, 2},
        {"more than was announced", answer("hello") + "HTTP/1.1 200 Smuggled\r\n\r\n", true, 2},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        LoopbackServer server(always(row.answer));
        const auto http = client();
        for (int i = 0; i < 2; ++i) {
            const auto response = http->send(get(server.url("/")), {});
            CHECK(response->status == 200);
            if (row.read_body) body_of(*response);
        }
        CHECK(server.connections() == row.connections);
    }
}

TEST_CASE("an idle connection that the server closed is replaced silently") {
    for (const bool reset : {false, true}) {
        CAPTURE(reset);
        LoopbackServer server([&](ServerConnection& connection, int) {
            if (reset) connection.reset_on_close();
            if (!connection.read_request().empty()) connection.send(answer("x"));
            // Let the client read before a reset discards the bytes.
            if (reset && connection.read_request().empty()) return;
        });
        const auto http = client();
        for (int i = 0; i < 3; ++i) CHECK(body_of(*http->send(get(server.url("/")), {})) == "x");
        CHECK(server.connections() == 3);
    }
}

TEST_CASE("what follows a response, as a body for HEAD, is not read as the next one") {
    std::promise<void> arrived;
    std::promise<void> followed;
    LoopbackServer server([&](ServerConnection& connection, int number) {
        connection.read_request();
        if (number > 1) return connection.send(answer("right"));
        connection.send(std::string(kOk) + "Content-Length: 5\r\n\r\n");
        arrived.get_future().wait();
        connection.send("wrong");
        followed.set_value();
        connection.read_request();
        connection.send(answer("mixed up"));
    });
    const auto http = client();
    Request head = get(server.url("/"));
    head.method = Method::head;
    CHECK(http->send(head, {})->status == 200);
    arrived.set_value();
    followed.get_future().wait();
    CHECK(body_of(*http->send(get(server.url("/")), {})) == "right");
}

TEST_CASE("a new connection that closes without a response is an error") {
    LoopbackServer server([](ServerConnection& connection, int) { connection.read_request(); });
    const Error error = error_of([&] { client()->send(get(server.url("/?SECRET")), {}); });
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "127.0.0.1:" + server.port()));
    CHECK(server.connections() == 1);
}

TEST_CASE("malformed responses") {
    struct Row {
        std::string name;
        std::string answer;
        Errc code;
    };
    const Row rows[] = {
        {"garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n", Errc::corrupt},
        {"header over the limit", std::string(kOk) + "X: " + std::string(70'000, 'x') + "\r\n\r\n",
         Errc::corrupt},
        {"many headers over the limit",
         std::string(kOk) + repeated("X: 12345\r\n", 10'000) + "\r\n", Errc::corrupt},
        {"two lengths", std::string(kOk) + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
         Errc::corrupt},
        {"interim answers without end", repeated("HTTP/1.1 100 Continue\r\n\r\n", 100),
         Errc::corrupt},
        {"half a header", "HTTP/1.1 200 OK\r\nX: y", Errc::unavailable},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        LoopbackServer server(once(row.answer));
        CHECK(error_of([&] { client()->send(get(server.url("/?SECRET")), {}); }).code() ==
              row.code);
    }
}

TEST_CASE("the bytes before a broken connection are delivered") {
    struct Row {
        std::string name;
        std::string answer;
        std::string body;
        Errc code;
    };
    const Row rows[] = {
        {"short of its length", std::string(kOk) + "Content-Length: 10\r\n\r\n12345", "12345",
         Errc::unavailable},
        {"in a chunk", std::string(kOk) + "Transfer-Encoding: chunked\r\n\r\na\r\n12345", "12345",
         Errc::unavailable},
        {"without the last chunk",
         std::string(kOk) + "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "12345",
         Errc::unavailable},
        {"a trailer without end",
         std::string(kOk) + "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n" +
             repeated("X: 12345\r\n", 100'000),
         "12345", Errc::corrupt},
        {"a chunk's extension without end",
         std::string(kOk) +
             "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n5;x=" + std::string(1'000'000, 'x'),
         "12345", Errc::corrupt},
        {"not a chunk", std::string(kOk) + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "",
         Errc::corrupt},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        LoopbackServer server(once(row.answer));
        const auto response = client()->send(get(server.url("/")), {});
        std::string buffer(100, '\0');
        std::string text;
        const Error error = error_of([&] {
            for (;;) {
                const auto got = response->read(std::as_writable_bytes(std::span(buffer)));
                if (got == 0) return;
                text.append(buffer, 0, got);
            }
        });
        CHECK(text == row.body);
        CHECK(error.code() == row.code);
        CHECK(error_of([&] { response->read(std::as_writable_bytes(std::span(buffer))); }).code() ==
              row.code);
    }
}

TEST_CASE("a server that stops sending is an error") {
    SUBCASE("before the header") {
        LoopbackServer server(
            [](ServerConnection& connection, int) { connection.wait_for_close(); });
        CHECK(error_of([&] { client(100ms)->send(get(server.url("/")), {}); }).code() ==
              Errc::timed_out);
    }
    SUBCASE("within the body") {
        LoopbackServer server([](ServerConnection& connection, int) {
            connection.read_request();
            connection.send(std::string(kOk) + "Content-Length: 10\r\n\r\n12345");
            connection.wait_for_close();
        });
        const auto response = client(500ms)->send(get(server.url("/")), {});
        std::string buffer(10, '\0');
        CHECK(response->read(std::as_writable_bytes(std::span(buffer))) == 5);
        const Error error =
            error_of([&] { response->read(std::as_writable_bytes(std::span(buffer))); });
        CHECK(error.code() == Errc::timed_out);
        CHECK(contains(error.message(), "sent nothing for 0.5 s"));
    }
    SUBCASE("within the TLS handshake") {
        LoopbackServer server(
            [](ServerConnection& connection, int) { connection.wait_for_close(); });
        const auto http = make_client({.connect = 100ms, .stall = 20s}, "x");
        CHECK(error_of([&] { http->send(get(server.url("/", "https")), {}); }).code() ==
              Errc::timed_out);
    }
}

TEST_CASE("a stop request ends a request at once") {
    std::promise<void> reached;
    std::string scheme = "http";
    bool within_body = false;
    SUBCASE("waiting for the header") {}
    SUBCASE("within the TLS handshake") {
        scheme = "https";
    }
    SUBCASE("within the body") {
        within_body = true;
    }
    LoopbackServer server([&](ServerConnection& connection, int) {
        if (within_body) {
            connection.read_request();
            connection.send(std::string(kOk) + "Content-Length: 10\r\n\r\n12345");
        } else {
            char first = 0;
            CHECK(::recv(connection.fd(), &first, 1, 0) == 1);
        }
        reached.set_value();
        connection.wait_for_close();
    });
    const auto http = client(10min);
    std::stop_source stop;
    const std::jthread stopper([&, future = reached.get_future()] {
        future.wait();
        stop.request_stop();
    });
    const auto began = std::chrono::steady_clock::now();
    const Error error = error_of([&] {
        const auto response = http->send(get(server.url("/", scheme)), stop.get_token());
        body_of(*response);
    });
    CHECK(error.code() == Errc::cancelled);
    CHECK(std::chrono::steady_clock::now() - began < 10s);
}

TEST_CASE("after a stop request nothing is sent") {
    LoopbackServer server(always(answer("")));
    std::stop_source stop;
    stop.request_stop();
    CHECK(error_of([&] { client()->send(get(server.url("/")), stop.get_token()); }).code() ==
          Errc::cancelled);
    CHECK(server.connections() == 0);
}

TEST_CASE("hosts that cannot be reached") {
    std::string closed;
    {
        const LoopbackServer server(always(""));
        closed = server.port();
    }
    Error error =
        error_of([&] { client()->send(get("http://127.0.0.1:" + closed + "/?SECRET"), {}); });
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "cannot connect to 127.0.0.1:" + closed));
    error = error_of([&] { client()->send(get("https://does-not-exist.invalid/?SECRET"), {}); });
    // unavailable if there is no name server.
    CHECK((error.code() == Errc::not_found || error.code() == Errc::unavailable));
    CHECK(contains(error.message(), "cannot find the address of does-not-exist.invalid:443"));
}

TEST_CASE("requests that must not be sent") {
    CHECK(error_of([&] { client()->send(get("ftp://a/SECRET"), {}); }).code() == Errc::usage);
    Request injected = get("http://127.0.0.1/");
    injected.headers = {{"Authorization", "Bearer SECRET\r\nX: y"}};
    CHECK(error_of([&] { client()->send(injected, {}); }).code() == Errc::usage);
}

TEST_CASE("a link-local address is refused in every spelling, if it is not allowed") {
    for (const std::string host : {"169.254.169.254", "2852039166", "0xa9fea9fe",
                                   "[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]"}) {
        CAPTURE(host);
        Request request = get("http://" + host + "/latest/meta-data/?SECRET");
        request.allows_link_local = false;
        const Error error = error_of([&] { client()->send(request, {}); });
        CHECK(error.code() == Errc::permission_denied);
        CHECK(contains(error.message(), "link-local"));
    }
}

TEST_CASE("an IPv6 literal is an address") {
    LoopbackServer server(always(answer("six")), AF_INET6);
    if (!server.listening()) {
        MESSAGE("skipped: no IPv6 on this machine");
        return;
    }
    CHECK(body_of(*client()->send(get("http://[::1]:" + server.port() + "/"), {})) == "six");
}

TEST_CASE("a name with several addresses is tried at each") {
    // localhost may also be ::1, where nobody listens.
    LoopbackServer server(always(answer("here")));
    CHECK(body_of(*client()->send(get("http://localhost:" + server.port() + "/"), {})) == "here");
}

TEST_CASE("many threads share one client") {
    LoopbackServer server(once(answer("x")));
    const auto http = client();
    std::atomic<int> good = 0;
    {
        std::vector<std::jthread> threads;
        threads.reserve(8);
        for (int i = 0; i < 8; ++i) {
            threads.emplace_back([&] {
                for (int n = 0; n < 20; ++n) {
                    good += body_of(*http->send(get(server.url("/")), {})) == "x" ? 1 : 0;
                }
            });
        }
    }
    CHECK(good == 160);
}

std::unique_ptr<Client> client_with_one_connection() {
    return make_client({.connect = 20s, .stall = 20s}, "x", {}, {.per_host = 1, .total = 1});
}

TEST_CASE("a request waits if its host is at its limit of connections") {
    LoopbackServer server(always(answer("hello")));
    const auto http = client_with_one_connection();
    const auto first = http->send(get(server.url("/")), {});
    std::jthread second([&] { CHECK(body_of(*http->send(get(server.url("/")), {})) == "hello"); });
    CHECK(body_of(*first) == "hello");
    second.join();
    CHECK(server.connections() == 1);
}

TEST_CASE("the wait for a connection ends with the time limit, and with a stop request") {
    LoopbackServer server(always(answer("hello")));
    const auto http = client_with_one_connection();
    const auto first = http->send(get(server.url("/")), {});
    Request limited = get(server.url("/?SECRET"));
    limited.time_limit = 50ms;
    const Error late = error_of([&] { http->send(limited, {}); });
    CHECK(late.code() == Errc::timed_out);
    CHECK(
        contains(late.message(), "all connections to 127.0.0.1:" + server.port() + " were in use"));
    std::stop_source stop;
    std::jthread stopper([&] { stop.request_stop(); });
    CHECK(error_of([&] { http->send(get(server.url("/")), stop.get_token()); }).code() ==
          Errc::cancelled);
    // Nobody waits any more, and the connection still serves.
    CHECK(body_of(*first) == "hello");
    CHECK(body_of(*http->send(get(server.url("/")), {})) == "hello");
}

TEST_CASE("a response that was discarded holds no connection for which another request waits") {
    const std::string long_body = answer(std::string(1'000'000, 'x'));
    const std::string endless_body = std::string(kOk) + "\r\n" + std::string(1'000'000, 'x');
    for (const std::string& text : {answer("short"), long_body, endless_body}) {
        LoopbackServer server(always(text));
        const auto http = client_with_one_connection();
        const auto first = http->send(get(server.url("/")), {});
        discard_body(*first);
        CHECK(http->send(get(server.url("/")), {})->status == 200);
    }
}

TEST_CASE("a response outlives its client") {
    LoopbackServer server(always(answer("hello")));
    auto http = client();
    const auto response = http->send(get(server.url("/")), {});
    http.reset();
    CHECK(body_of(*response) == "hello");
}

/// A server on a unix socket that handles one connection.
class UnixServer {
  public:
    explicit UnixServer(LoopbackServer::Handler handler, int backlog = 1)
        : path_(directory_.path() / "s"), fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.string().copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(::listen(fd_, backlog) == 0);
        if (handler) {
            thread_ = std::jthread([this, serve = std::move(handler)] {
                ServerConnection connection(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
                serve(connection, 1);
            });
        }
    }
    ~UnixServer() {
        ::shutdown(fd_, SHUT_RDWR);
        if (thread_.joinable()) thread_.join();
        ::close(fd_);
    }
    UnixServer(const UnixServer&) = delete;
    UnixServer& operator=(const UnixServer&) = delete;

    std::string path() const { return path_.string(); }

  private:
    TemporaryDirectory directory_;
    std::filesystem::path path_;
    int fd_;
    std::jthread thread_;
};

Request get_from(const std::string& unix_socket) {
    Request request = get("http://localhost/path?SECRET");
    request.unix_socket = unix_socket;
    return request;
}

TEST_CASE("a request over a unix socket") {
    std::string text;
    {
        const UnixServer server([&](ServerConnection& connection, int) {
            text = connection.read_request();
            connection.send(std::string(kOk) + "Content-Length: 5\r\n\r\nhello");
        });
        const auto response = client()->send(get_from(server.path()), {});
        CHECK(response->status == 200);
        CHECK(body_of(*response) == "hello");
    }
    CHECK(text.starts_with("GET /path?SECRET HTTP/1.1\r\n"));
    CHECK(contains(text, "\r\nHost: localhost\r\n"));
}

TEST_CASE("a response to a request that the server does not read") {
    const UnixServer server([](ServerConnection& connection, int) {
        connection.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        ::shutdown(connection.fd(), SHUT_RD);
    });
    Request request = get_from(server.path());
    request.method = Method::post;
    request.body = std::string(1U << 20, 'x');
    CHECK(client()->send(request, {})->status == 503);
}

TEST_CASE("a unix socket that nobody listens on") {
    const TemporaryDirectory directory;
    const std::string path = (directory.path() / "s").string();
    SUBCASE("no file") {}
    SUBCASE("a file") {
        std::ofstream{path};
    }
    const Error error = error_of([&] { client()->send(get_from(path), {}); });
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "cannot connect to " + path));
}

TEST_CASE("requests that no unix socket can serve") {
    CHECK(error_of([] { client()->send(get_from("/" + std::string(107, 'a')), {}); }).code() ==
          Errc::usage);
    Request tls = get_from("/run/s");
    tls.url = "https://localhost/";
    CHECK(error_of([&] { client()->send(tls, {}); }).code() == Errc::usage);
}

TEST_CASE("the time limit is for the whole exchange") {
    SUBCASE("no response") {
        LoopbackServer server(
            [](ServerConnection& connection, int) { connection.wait_for_close(); });
        Request request = get(server.url("/?SECRET"));
        request.time_limit = 200ms;
        const Error error = error_of([&] { client()->send(request, {}); });
        CHECK(error.code() == Errc::timed_out);
        CHECK(contains(error.message(), "did not answer within 0.2 s"));
    }
    SUBCASE("a body that never stalls") {
        LoopbackServer server([](ServerConnection& connection, int) {
            connection.read_request();
            connection.send(std::string(kOk) + "Content-Length: 60000\r\n\r\n");
            const timeval pause{.tv_sec = 0, .tv_usec = 10'000};
            ::setsockopt(connection.fd(), SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause);
            char byte = 0;
            while (::recv(connection.fd(), &byte, 1, 0) != 0) connection.send("x");
        });
        Request request = get(server.url("/"));
        request.time_limit = 300ms;
        const auto http = client();
        const auto response = http->send(request, {});
        CHECK(error_of([&] { body_of(*response); }).code() == Errc::timed_out);
    }
    SUBCASE("a unix socket with a full backlog") {
        const UnixServer server(nullptr, 0);
        Request request = get_from(server.path());
        request.time_limit = 200ms;
        const auto http = client();
        std::jthread first([&] { error_of([&] { http->send(request, {}); }); });
        const Error error = error_of([&] { http->send(request, {}); });
        CHECK(error.code() == Errc::timed_out);
    }
}

TEST_CASE("a stop request ends the wait for room in a backlog") {
    const UnixServer server(nullptr, 0);
    const auto http = client();
    std::stop_source stop;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            const Error error =
                error_of([&] { http->send(get_from(server.path()), stop.get_token()); });
            CHECK_MESSAGE(error.code() == Errc::cancelled, error.message());
        });
    }
    stop.request_stop();
}

}  // namespace
}  // namespace prebake::http
