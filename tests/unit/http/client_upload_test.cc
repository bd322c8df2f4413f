#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "agent/base/stream.h"
#include "agent/http/client.h"
#include "tests/unit/base/bytes_source.h"
#include "tests/unit/http/error_of.h"
#include "tests/unit/http/loopback_server.h"

namespace prebake::http::client_upload_test {
namespace {

using tests::contains;
using tests::error_of;
using namespace std::chrono_literals;

constexpr std::string_view kEmpty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

std::unique_ptr<Client> client() {
    return make_client({.connect = 20s, .stall = 20s}, "prebake/test");
}

/// As many bytes as it has; remembers its reader.
class Letters : public Source {
  public:
    explicit Letters(std::size_t size) : left_(size) {}
    std::size_t read(std::span<std::byte> buffer) override {
        reader = std::this_thread::get_id();
        const std::size_t size = std::min(left_, buffer.size());
        std::fill_n(buffer.begin(), size, std::byte('u'));
        left_ -= size;
        return size;
    }

    std::thread::id reader;

  private:
    std::size_t left_;
};

Request upload(const LoopbackServer& server, Source& source, std::uint64_t bytes) {
    Request request;
    request.method = Method::post;
    request.url = server.url("/load?SECRET");
    request.upload = &source;
    request.upload_bytes = bytes;
    return request;
}

/// The next `size` bytes of the connection, or fewer at its end.
std::size_t count_bytes(ServerConnection& connection, std::size_t size) {
    std::string buffer(64UL << 10, '\0');
    std::size_t got = 0;
    while (got < size) {
        const ssize_t more =
            ::recv(connection.fd(), buffer.data(), std::min(buffer.size(), size - got), 0);
        if (more <= 0) break;
        got += static_cast<std::size_t>(more);
    }
    return got;
}

TEST_CASE("an upload sends what its source has") {
    for (const std::size_t size : {0UL, 1UL, 3'000'000UL}) {
        std::promise<std::pair<std::string, std::size_t>> seen;
        LoopbackServer server([&](ServerConnection& connection, int) {
            std::string header = connection.read_request();
            const std::size_t bytes = count_bytes(connection, size);
            seen.set_value({std::move(header), bytes});
            connection.send(kEmpty);
            connection.wait_for_close();
        });
        Letters source(size + 1);
        CHECK(client()->send(upload(server, source, size), {})->status == 200);
        const auto [header, bytes] = seen.get_future().get();
        CHECK(contains(header, "\r\nContent-Length: " + std::to_string(size) + "\r\n"));
        CHECK(bytes == size);
        if (size > 0) CHECK(source.reader == std::this_thread::get_id());
    }
}

TEST_CASE("a server that answers before it has read the upload") {
    LoopbackServer server([](ServerConnection& connection, int) {
        connection.read_request();
        connection.send("HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfull");
        ::shutdown(connection.fd(), SHUT_WR);
        // A reset would take the answer with it.
        connection.wait_for_close();
    });
    const auto http = client();
    Letters source(1'000'000);
    const auto response = http->send(upload(server, source, 1'000'000), {});
    CHECK(response->status == 507);
    CHECK(read_up_to(*response, 100) == "full");
}

TEST_CASE("an upload whose source fails") {
    LoopbackServer server([](ServerConnection& connection, int) { connection.wait_for_close(); });
    SUBCASE("it is too short") {
        Letters source(10);
        const Error error = error_of([&] { client()->send(upload(server, source, 11), {}); });
        CHECK(error.code() == Errc::corrupt);
        CHECK(contains(error.message(), "shorter than announced"));
    }
    SUBCASE("it throws") {
        tests::BytesSource source("", Error(Errc::io, "the disk is gone"));
        CHECK(error_of([&] { client()->send(upload(server, source, 1), {}); }).code() == Errc::io);
    }
}

TEST_CASE("an upload gets a new connection, and leaves it to the next request") {
    LoopbackServer server([](ServerConnection& connection, int number) {
        if (number == 1) {
            connection.read_request();
            connection.send(kEmpty);
            return;  // closes the connection that is idle for the client
        }
        connection.read_request();
        count_bytes(connection, 5);
        connection.send(kEmpty);
        connection.read_request();
        connection.send(kEmpty);
        connection.wait_for_close();
    });
    const auto http = client();
    Request plain;
    plain.url = server.url("/");
    http->send(plain, {});
    Letters source(5);
    CHECK(http->send(upload(server, source, 5), {})->status == 200);
    CHECK(http->send(plain, {})->status == 200);
    CHECK(server.connections() == 2);
}

TEST_CASE("a request's own stall timeout") {
    std::promise<void> done;
    auto until = done.get_future();
    LoopbackServer server([&](ServerConnection& connection, int) {
        connection.read_request();
        until.wait();
    });
    const auto http = client();
    Letters source(64UL << 20);
    Request request = upload(server, source, 64UL << 20);
    SUBCASE("the server does not read") {}
    SUBCASE("the server does not answer") {
        request.upload_bytes = 1;
    }
    SUBCASE("without an upload") {
        request.upload = nullptr;
    }
    request.stall_timeout = 200ms;
    const Error error = error_of([&] { http->send(request, {}); });
    CHECK(error.code() == Errc::timed_out);
    CHECK(contains(error.message(), "sent nothing for 0.2 s"));
    done.set_value();
}

TEST_CASE("a stop request ends an upload") {
    std::stop_source stop;
    std::promise<void> done;
    auto until = done.get_future();
    LoopbackServer server([&](ServerConnection& connection, int) {
        connection.read_request();
        stop.request_stop();
        until.wait();
    });
    const auto http = client();
    Letters source(64UL << 20);
    const Error error =
        error_of([&] { http->send(upload(server, source, 64UL << 20), stop.get_token()); });
    CHECK(error.code() == Errc::cancelled);
    done.set_value();
}

TEST_CASE("the parts of a body are there as they come") {
    std::promise<void> seen;
    auto until = seen.get_future();
    LoopbackServer server([&](ServerConnection& connection, int) {
        connection.read_request();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n");
        until.wait();
        connection.send("4\r\ntwo\n\r\n0\r\n\r\n");
        connection.wait_for_close();
    });
    Request request;
    request.url = server.url("/");
    const auto http = client();
    const auto response = http->send(request, {});
    std::string buffer(100, '\0');
    const auto part = [&] {
        const std::size_t got = response->read_some(std::as_writable_bytes(std::span(buffer)));
        return buffer.substr(0, got);
    };
    CHECK(part() == "one\n");
    seen.set_value();
    CHECK(part() == "two\n");
    CHECK(part().empty());
}

TEST_CASE("a reader changes its stall timeout") {
    std::promise<void> done;
    auto until = done.get_future();
    LoopbackServer server([&](ServerConnection& connection, int) {
        connection.read_request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
        until.wait();
    });
    Request request;
    request.url = server.url("/");
    const auto http = client();
    const auto response = http->send(request, {});
    response->set_stall_timeout(100ms);
    const Error error = error_of([&] { read_up_to(*response, 100); });
    CHECK(error.code() == Errc::timed_out);
    CHECK(contains(error.message(), "sent nothing for 0.1 s"));
    done.set_value();
}

}  // namespace
}  // namespace prebake::http::client_upload_test
