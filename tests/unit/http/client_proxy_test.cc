#include <doctest/doctest.h>
#include <poll.h>

#include <array>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/base64.h"
#include "agent/base/stream.h"
#include "agent/http/client.h"
#include "tests/unit/http/error_of.h"
#include "tests/unit/http/loopback_server.h"
#include "tests/unit/http/tls_server.h"

namespace prebake::http::client_proxy_test {

using tests::contains;
using tests::error_of;

using namespace std::chrono_literals;

/// A host that no name server knows: only the proxy can reach it.
constexpr const char* kHost = "registry.invalid";

Request get(std::string url) {
    Request request;
    request.url = std::move(url);
    return request;
}

ProxySettings through(const std::string& proxy, const std::string& no_proxy = {}) {
    return {.for_http = {.url = proxy, .source = "HTTP_PROXY"},
            .for_https = {.url = proxy, .source = "HTTPS_PROXY"},
            .no_proxy = no_proxy};
}

std::unique_ptr<Client> client(const ProxySettings& proxies,
                               std::chrono::milliseconds connect = 20s) {
    return make_client({.connect = connect, .stall = 20s}, "prebake/test", proxies);
}

std::string body_of(Client& http, const Request& request) {
    return read_up_to(*http.send(request, {}), 1000).value();
}

/// What a server received; filled by its thread.
class Received {
  public:
    void add(std::string request) {
        const std::lock_guard lock(mutex_);
        requests_.push_back(std::move(request));
    }
    std::vector<std::string> all() const {
        const std::lock_guard lock(mutex_);
        return requests_;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<std::string> requests_;
};

/// The client's side of a proxy, with or without TLS.
struct ProxyClient {
    int fd;
    SSL* tls;  ///< null: plain

    ssize_t read(char* buffer, std::size_t size) const {
        if (tls != nullptr) return SSL_read(tls, buffer, static_cast<int>(size));
        return ::recv(fd, buffer, size, 0);
    }
    void write(std::string_view text) const {
        if (tls != nullptr) {
            SSL_write(tls, text.data(), static_cast<int>(text.size()));
        } else if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0) {
            return;  // the client is gone
        }
    }
    bool has_decrypted() const { return tls != nullptr && SSL_pending(tls) > 0; }
};

/// A connection to a port of this machine.
class Upstream {
  public:
    explicit Upstream(const std::string& port)
        : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
        CHECK(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    ~Upstream() { ::close(fd_); }
    Upstream(const Upstream&) = delete;
    Upstream& operator=(const Upstream&) = delete;

    int fd() const { return fd_; }

  private:
    int fd_;
};

/// Carries bytes between both until one side closes.
void carry(const ProxyClient& from, const Upstream& to) {
    std::array<char, 4096> buffer;
    for (;;) {
        std::array<pollfd, 2> ready{pollfd{.fd = from.fd, .events = POLLIN, .revents = 0},
                                    pollfd{.fd = to.fd(), .events = POLLIN, .revents = 0}};
        if (!from.has_decrypted()) ::poll(ready.data(), ready.size(), -1);
        if (from.has_decrypted() || ready[0].revents != 0) {
            const ssize_t got = from.read(buffer.data(), buffer.size());
            if (got <= 0) return;
            if (::send(to.fd(), buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) < 0) {
                return;
            }
        }
        if (ready[1].revents != 0) {
            const ssize_t got = ::recv(to.fd(), buffer.data(), buffer.size(), 0);
            if (got <= 0) return;
            from.write({buffer.data(), static_cast<std::size_t>(got)});
        }
    }
}

/// A proxy that carries every tunnel to `port`, whatever host it is asked for.
LoopbackServer::Handler tunnel_to(std::string port, Received& received) {
    return [port = std::move(port), &received](ServerConnection& connection, int) {
        const std::string request = connection.read_request();
        if (request.empty()) return;
        received.add(request);
        const Upstream upstream(port);
        connection.send("HTTP/1.0 200 Connection established\r\nProxy-agent: test\r\n\r\n");
        carry({.fd = connection.fd(), .tls = nullptr}, upstream);
    };
}

/// The same with TLS between the client and the proxy.
LoopbackServer::Handler tls_tunnel_to(std::string port, const Identity& identity,
                                      Received& received) {
    return [port = std::move(port), context = server_context(identity), &received](
               ServerConnection& connection, int) {
        const Session session(SSL_new(context->get()));
        SSL_set_fd(session.get(), connection.fd());
        if (SSL_accept(session.get()) != 1) return;
        const std::string request = read_request_from(session.get());
        if (request.empty()) return;
        received.add(request);
        const Upstream upstream(port);
        const ProxyClient from{.fd = connection.fd(), .tls = session.get()};
        from.write("HTTP/1.1 200 OK\r\n\r\n");
        carry(from, upstream);
    };
}

/// A proxy, or a server behind one, that answers every request with `text`.
LoopbackServer::Handler answer_with(std::string text, Received& received) {
    return [text = std::move(text), &received](ServerConnection& connection, int) {
        for (;;) {
            const std::string request = connection.read_request();
            if (request.empty()) return;
            received.add(request);
            connection.send(text);
        }
    };
}

TEST_CASE("https goes through a tunnel, in which the server's certificate is verified") {
    const Identity identity = make_identity("DNS:registry.invalid");
    const TrustStore trust(identity);
    LoopbackServer server(serve_tls(identity));
    Received received;
    LoopbackServer proxy(tunnel_to(server.port(), received));
    const ProxySettings proxies = through("me:p%40ss@127.0.0.1:" + proxy.port());
    {
        const auto http = client(proxies);
        for (int i = 0; i < 2; ++i) {
            CHECK(body_of(*http, get("https://registry.invalid:5000/v2/?SECRET")) == kHost);
        }
    }
    // The tunnel is used again.
    REQUIRE(received.all().size() == 1);
    CHECK(received.all()[0] ==
          "CONNECT registry.invalid:5000 HTTP/1.1\r\nHost: registry.invalid:5000\r\n"
          "User-Agent: prebake/test\r\nProxy-Authorization: Basic " +
              base64_encode("me:p@ss") + "\r\n\r\n");
    const Error error =
        error_of([&] { client(proxies)->send(get("https://other.invalid/?SECRET"), {}); });
    CHECK(error.code() == Errc::permission_denied);
    CHECK(contains(error.message(),
                   "the certificate of other.invalid:443 (through the proxy "
                   "127.0.0.1:" +
                       proxy.port() + ") is not trusted: it is made for "));
}

TEST_CASE("TLS to the proxy, and in it TLS to the server") {
    const Identity ca = make_identity(nullptr, -60, 3600, nullptr, "CA");
    const Identity at_proxy = make_identity("DNS:localhost", -60, 3600, &ca, "proxy");
    const Identity at_server = make_identity("DNS:registry.invalid", -60, 3600, &ca, "server");
    LoopbackServer server(serve_tls(at_server));
    Received received;
    LoopbackServer proxy(tls_tunnel_to(server.port(), at_proxy, received));
    const ProxySettings proxies = through("https://localhost:" + proxy.port());
    const std::string url = "https://registry.invalid/";
    {
        const TrustStore trust(ca);
        const auto http = client(proxies);
        for (int i = 0; i < 2; ++i) CHECK(body_of(*http, get(url)) == kHost);
        CHECK(received.all().size() == 1);
    }
    // The proxy's own certificate is verified even if the server's is not, and settings for the
    // server do not apply to it.
    const PemDirectory files;
    for (const TlsSettings& settings :
         {TlsSettings{.verification = TlsVerification::none},
          TlsSettings{.ca_files = {files.add("ca.pem", pem_of(ca.certificate))}}}) {
        Request request = get(url);
        request.tls = settings;
        const Error error = error_of([&] { client(proxies)->send(request, {}); });
        CHECK(error.code() == Errc::permission_denied);
        CHECK(contains(error.message(), "the certificate of the proxy localhost:" + proxy.port() +
                                            " is not trusted: "));
        CHECK(contains(error.next_step(), "to the system's trust store"));
    }
}

TEST_CASE("plain http is asked of the proxy itself") {
    Received received;
    LoopbackServer proxy(answer_with("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", received));
    const ProxySettings proxies = through("http://me:pass@127.0.0.1:" + proxy.port());
    CHECK(body_of(*client(proxies), get("http://registry.invalid/v2/?x=y")) == "hi");
    CHECK(body_of(*client(proxies), get("http://[2001:db8::1]:5000/")) == "hi");
    const auto requests = received.all();
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].starts_with("GET http://registry.invalid/v2/?x=y HTTP/1.1\r\n"));
    CHECK(contains(requests[0], "\r\nHost: registry.invalid\r\n"));
    CHECK(contains(requests[0],
                   "\r\nProxy-Authorization: Basic " + base64_encode("me:pass") + "\r\n"));
    CHECK(requests[1].starts_with("GET http://[2001:db8::1]:5000/ HTTP/1.1\r\n"));
}

TEST_CASE("the server never sees what is for the proxy") {
    const Identity identity = make_identity("DNS:registry.invalid");
    const TrustStore trust(identity);
    Received at_server;
    const auto context = server_context(identity);
    LoopbackServer server([&](ServerConnection& connection, int) {
        const Session session(SSL_new(context->get()));
        SSL_set_fd(session.get(), connection.fd());
        if (SSL_accept(session.get()) != 1) return;
        at_server.add(read_request_from(session.get()));
        const std::string_view text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        SSL_write(session.get(), text.data(), static_cast<int>(text.size()));
    });
    Received at_proxy;
    LoopbackServer proxy(tunnel_to(server.port(), at_proxy));
    Request request = get("https://registry.invalid/v2/");
    request.headers = {{"Authorization", "Bearer token"}};
    client(through("http://me:pass@127.0.0.1:" + proxy.port()))->send(request, {});
    REQUIRE(at_server.all().size() == 1);
    CHECK_FALSE(contains(at_server.all()[0], "Proxy-Authorization"));
    CHECK(at_server.all()[0].starts_with("GET /v2/ HTTP/1.1\r\n"));
    REQUIRE(at_proxy.all().size() == 1);
    CHECK_FALSE(contains(at_proxy.all()[0], "Bearer"));
}

TEST_CASE("a proxy that refuses a tunnel") {
    struct Row {
        std::string answer;
        Errc code;
        std::string message;
        std::string next_step;
    };
    const std::vector<Row> rows = {
        {"HTTP/1.1 407 Auth Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
         Errc::unauthenticated, " refuses the user name or the password (407 Auth Required)",
         "correct them in HTTPS_PROXY"},
        {"HTTP/1.1 401 Unauthorized\r\nServer: tinyproxy/1.11.1\r\n\r\n", Errc::unauthenticated,
         " refuses the user name or the password (401 Unauthorized)",
         "correct them in HTTPS_PROXY"},
        {"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n",
         Errc::unsupported,
         " wants credentials (407 No) in a form that prebake does not have: Negotiate, NTLM", ""},
        {"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: basic "
         "x=y\r\n\r\n",
         Errc::unauthenticated, " refuses the user name or the password (407 No)", ""},
        {"HTTP/1.0 403 Access violation\r\nContent-Length: 5\r\n\r\nno no", Errc::permission_denied,
         " refuses to connect to registry.invalid:443: 403 Access violation",
         "let it allow CONNECT to that host and port, or exempt registry.invalid from the proxy"},
        {"HTTP/1.1 500 Unable to connect\r\n\r\n", Errc::unavailable,
         " cannot connect to registry.invalid:443: 500 Unable to connect",
         "check the name of the host, or exempt registry.invalid"},
        {"HTTP/1.1 503 \r\n\r\n", Errc::unavailable, " cannot connect to registry.invalid:443: 503",
         ""},
        {"HTTP/1.1 429 Slow\r\n\r\n", Errc::rate_limited, " limits connections: 429 Slow", ""},
        {"HTTP/1.1 405 Method Not Allowed\r\n\r\n", Errc::unsupported,
         " does not connect to registry.invalid:443: 405 Method Not Allowed", "check HTTPS_PROXY"},
        {"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n", Errc::unsupported,
         " does not connect to registry.invalid:443: 302 Found", "check HTTPS_PROXY"},
        {"HTTP/1.1 200 OK\r\n\r\nmore", Errc::corrupt, " sends more than its answer", ""},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", Errc::corrupt,
         " does not speak HTTP: ", "check HTTPS_PROXY"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.answer);
        Received received;
        LoopbackServer proxy(answer_with(row.answer, received));
        const auto http = client(through("http://me:SECRET@127.0.0.1:" + proxy.port()));
        const Error error =
            error_of([&] { http->send(get("https://registry.invalid/?SECRET"), {}); });
        CHECK(error.code() == row.code);
        CHECK_MESSAGE(
            contains(error.message(), "the proxy 127.0.0.1:" + proxy.port() + row.message),
            error.message());
        CHECK_MESSAGE(contains(error.next_step(), row.next_step), error.next_step());
        CHECK_FALSE(contains(error.what(), base64_encode("me:SECRET")));
    }
}

TEST_CASE("a proxy that wants credentials, and there are none") {
    Received received;
    LoopbackServer proxy(answer_with(
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", received));
    for (const std::string scheme : {"http", "https"}) {
        const auto http = client(through("127.0.0.1:" + proxy.port()));
        const Error error =
            error_of([&] { http->send(get(scheme + "://registry.invalid/?SECRET"), {}); });
        CHECK(error.code() == Errc::unauthenticated);
        CHECK(contains(error.message(),
                       "the proxy 127.0.0.1:" + proxy.port() + " wants credentials (407 Auth)"));
        CHECK(contains(error.next_step(), scheme == "http" ? "HTTP_PROXY" : "HTTPS_PROXY"));
    }
    // Without a proxy it is the server's answer.
    CHECK(client({})->send(get(proxy.url("/")), {})->status == 407);
}

TEST_CASE("a proxy that cannot be reached") {
    std::string closed;
    {
        const LoopbackServer none(nullptr);
        closed = none.port();
    }
    const Error refused = error_of([&] {
        client(through("http://me:SECRET@127.0.0.1:" + closed))
            ->send(get("https://registry.invalid/"), {});
    });
    CHECK(refused.code() == Errc::unavailable);
    CHECK(contains(refused.message(), "cannot connect to the proxy 127.0.0.1:" + closed + ": "));
    CHECK(contains(refused.next_step(),
                   "check HTTPS_PROXY, or exempt registry.invalid from the proxy"));
    const Error unknown = error_of([&] {
        client(through("does-not-exist.invalid:3128"))->send(get("https://registry.invalid/"), {});
    });
    CHECK(contains(unknown.message(),
                   "cannot find the address of the proxy does-not-exist.invalid:3128"));
    LoopbackServer silent([](ServerConnection& connection, int) { connection.wait_for_close(); });
    const Error timed_out = error_of([&] {
        client(through("127.0.0.1:" + silent.port()), 100ms)
            ->send(get("https://registry.invalid/"), {});
    });
    CHECK(timed_out.code() == Errc::timed_out);
    CHECK(contains(timed_out.message(), "the proxy 127.0.0.1:" + silent.port() +
                                            " did not connect to registry.invalid:443 within"));
}

TEST_CASE("a proxy that expects TLS") {
    const Identity identity = make_identity("DNS:localhost");
    LoopbackServer proxy(serve_tls(identity));
    const Error error = error_of([&] {
        client(through("http://localhost:" + proxy.port()))
            ->send(get("https://registry.invalid/"), {});
    });
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.next_step(), "check HTTPS_PROXY: its port, and http:// or https://"));
}

TEST_CASE("what is never reached through a proxy") {
    Received received;
    LoopbackServer proxy(answer_with("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", received));
    LoopbackServer server(answer_with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", received));
    const auto http = client(through("127.0.0.1:" + proxy.port()));
    CHECK(http->send(get(server.url("/")), {})->status == 200);
    // In any spelling: the proxy would find the metadata service of its own machine.
    for (const char* host : {"169.254.169.254", "2852039166", "[::ffff:169.254.169.254]"}) {
        CAPTURE(host);
        Request request = get("http://" + std::string(host) + "/latest/meta-data/");
        request.allows_link_local = false;
        CHECK(error_of([&] { http->send(request, {}); }).code() == Errc::permission_denied);
    }
    Request to_socket = get("http://registry.invalid/");
    to_socket.unix_socket = "/does/not/exist";
    CHECK(contains(error_of([&] { http->send(to_socket, {}); }).message(),
                   "cannot connect to /does/not/exist"));
    CHECK(proxy.connections() == 0);
}

TEST_CASE("a proxy that cannot be used is an error only for hosts that need it") {
    Received received;
    LoopbackServer server(answer_with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", received));
    const auto http = client(through("socks5://127.0.0.1:1080"));
    CHECK(http->send(get(server.url("/")), {})->status == 200);
    CHECK(error_of([&] { http->send(get("https://registry.invalid/"), {}); }).code() ==
          Errc::usage);
}

TEST_CASE("a stop request ends the wait for a tunnel") {
    std::promise<void> asked;
    LoopbackServer proxy([&](ServerConnection& connection, int) {
        connection.read_request();
        asked.set_value();
        connection.wait_for_close();
    });
    const auto http = client(through("127.0.0.1:" + proxy.port()), 10min);
    std::stop_source stop;
    const std::jthread stopper([&] {
        asked.get_future().wait();
        stop.request_stop();
    });
    CHECK(error_of([&] {
              http->send(get("https://registry.invalid/"), stop.get_token());
          }).code() == Errc::cancelled);
}

}  // namespace prebake::http::client_proxy_test
