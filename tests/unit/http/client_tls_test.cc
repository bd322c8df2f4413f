#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/stream.h"
#include "agent/http/client.h"
#include "tests/unit/http/error_of.h"
#include "tests/unit/http/loopback_server.h"
#include "tests/unit/http/tls_server.h"

namespace prebake::http::client_tls_test {

using tests::contains;
using tests::error_of;

using namespace std::chrono_literals;

const TlsPlace kPlace{.hosts_file = "/d/hosts.toml", .host = "https://m.example"};

Request get(std::string url, TlsVerification verification) {
    Request request;
    request.url = std::move(url);
    request.tls.verification = verification;
    request.tls.place = kPlace;
    return request;
}

Request get(std::string url, TlsSettings tls = {}) {
    Request request;
    request.url = std::move(url);
    request.tls = std::move(tls);
    request.tls.place = kPlace;
    return request;
}

std::unique_ptr<Client> client() {
    return make_client({.connect = 20s, .stall = 20s}, "x");
}

std::string body_of(Client& http, const Request& request) {
    return read_up_to(*http.send(request, {}), 100).value();
}

TEST_CASE("certificates are verified against the trust store and the name") {
    struct Row {
        std::string name;
        bool in_trust_store;
        const char* certificate_for;
        long from;
        long to;
        const char* host;
        TlsVerification verification;
        const char* body;     ///< what the server saw as SNI; null: refused
        const char* problem;  ///< part of the message of the refusal
        const char* next_step;
    };
    constexpr auto kVerified = TlsVerification::system_trust_store;
    constexpr auto kUnverified = TlsVerification::none;
    constexpr const char* kBoth = "DNS:localhost,IP:127.0.0.1";
    for (const Row& row : {
             Row{"trusted name", true, kBoth, -60, 60, "localhost", kVerified, "localhost", "", ""},
             Row{"trusted address", true, kBoth, -60, 60, "127.0.0.1", kVerified, "(no name)", "",
                 ""},
             Row{"another name", true, "DNS:other.example,DNS:*.example", -60, 60, "localhost",
                 kVerified, nullptr, "it is made for other.example, *.example", "use a name"},
             Row{"another address", true, "DNS:localhost,IP:127.0.0.2,IP:2001:db8::1", -60, 60,
                 "127.0.0.1", kVerified, nullptr, "made for localhost, 127.0.0.2, 2001:db8::1",
                 "use a name"},
             Row{"an address as a name", true, "DNS:127.0.0.1", -60, 60, "127.0.0.1", kVerified,
                 nullptr, "made for 127.0.0.1", "use a name"},
             Row{"only a common name", true, nullptr, -60, 60, "localhost", kVerified, nullptr,
                 "made for CN=prebake test", "use a name"},
             Row{"expired", true, kBoth, -120, -60, "localhost", kVerified, nullptr,
                 "it expired at ", "if the clock is wrong, set it"},
             Row{"not valid yet", true, kBoth, 3600, 7200, "localhost", kVerified, nullptr,
                 "it is not valid before ", "if the clock is wrong, set it"},
             Row{"unknown", false, kBoth, -60, 60, "localhost", kVerified, nullptr,
                 "it is self-signed",
                 "name that certificate as \"ca\" of [host.\"https://m.example\"] in "
                 "/d/hosts.toml"},
             Row{"unverified", false, "DNS:other.example", -120, -60, "localhost", kUnverified,
                 "localhost", "", ""},
         }) {
        CAPTURE(row.name);
        const Identity identity = make_identity(row.certificate_for, row.from, row.to);
        LoopbackServer server(serve_tls(identity));
        std::optional<TrustStore> trust;
        if (row.in_trust_store) trust.emplace(identity);
        const auto http = client();
        const Request request =
            get(std::string("https://") + row.host + ":" + server.port() + "/?SECRET",
                row.verification);
        if (row.body != nullptr) {
            CHECK(body_of(*http, request) == row.body);
            continue;
        }
        const Error error = error_of([&] { http->send(request, {}); });
        CHECK(error.code() == Errc::permission_denied);
        CHECK(contains(error.message(), "the certificate of " + std::string(row.host) + ":" +
                                            server.port() + " is not trusted: "));
        CHECK_MESSAGE(contains(error.message(), row.problem), error.message());
        CHECK_MESSAGE(error.next_step().starts_with(row.next_step), error.next_step());
    }
}

TEST_CASE("a CA of the request is trusted besides the system's store, and only by that request") {
    const Identity in_store = make_identity("DNS:localhost");
    const Identity ca = make_identity(nullptr, -60, 3600, nullptr, "Corp CA");
    const Identity signed_by_ca = make_identity("DNS:localhost", -60, 3600, &ca, "leaf");
    const TrustStore trust(in_store);
    const PemDirectory files;
    const TlsSettings with_ca{.ca_files = {files.add("ca.pem", pem_of(ca.certificate))}};
    for (const Identity* each : {&in_store, &signed_by_ca}) {
        LoopbackServer server(serve_tls(*each));
        const std::string url = "https://localhost:" + server.port() + "/";
        CHECK(body_of(*client(), get(url, with_ca)) == "localhost");
    }
    LoopbackServer server(serve_tls(signed_by_ca));
    const std::string url = "https://localhost:" + server.port() + "/";
    const auto http = client();
    for (int i = 0; i < 2; ++i) {
        // Also after a request with the CA.
        const Error error = error_of([&] { http->send(get(url), {}); });
        CHECK(error.code() == Errc::permission_denied);
        CHECK(contains(error.message(), "this machine does not know its CA \"CN=Corp CA\""));
        CHECK(contains(error.next_step(),
                       "as \"ca\" of [host.\"https://m.example\"] in /d/hosts.toml, or add it to "
                       "the system"));
        if (i == 0) http->send(get(url, with_ca), {})->close();
    }
}

TEST_CASE("an intermediate CA, or the certificate itself, can be trusted alone") {
    const Identity root = make_identity(nullptr, -60, 3600, nullptr, "root");
    const Identity intermediate = make_identity(nullptr, -60, 3600, &root, "intermediate");
    const Identity leaf = make_identity("DNS:localhost", -60, 3600, &intermediate, "leaf");
    const PemDirectory files;
    for (const Identity* trusted : {&intermediate, &leaf}) {
        LoopbackServer server(serve_tls(leaf));
        const std::string ca = files.add("ca.pem", pem_of(trusted->certificate));
        CHECK(body_of(*client(), get("https://localhost:" + server.port() + "/",
                                     TlsSettings{.ca_files = {ca}})) == "localhost");
    }
}

TEST_CASE("an expired CA is named") {
    const Identity ca = make_identity(nullptr, -7200, -3600, nullptr, "Old CA");
    const Identity leaf = make_identity("DNS:localhost", -60, 3600, &ca, "leaf");
    LoopbackServer server(serve_tls(leaf));
    const TrustStore trust(ca);
    const Error error =
        error_of([&] { client()->send(get("https://localhost:" + server.port() + "/"), {}); });
    CHECK(error.code() == Errc::permission_denied);
    CHECK(contains(error.message(), "the certificate of its CA \"CN=Old CA\" expired at "));
    CHECK(contains(error.message(), ", and the clock of this machine says "));
}

TEST_CASE("an idle connection serves only requests with the same settings") {
    const Identity identity = make_identity("DNS:localhost");
    const PemDirectory files;
    const std::string ca = files.add("ca.pem", pem_of(identity.certificate));
    LoopbackServer server(serve_tls(identity));
    const auto http = client();
    const std::string url = "https://localhost:" + server.port() + "/";
    for (int i = 0; i < 2; ++i) {
        CHECK(body_of(*http, get(url, TlsVerification::none)) == "localhost");
    }
    CHECK(server.connections() == 1);
    // The server is busy with the idle connection, so a second one times out.
    for (const TlsSettings& other : {TlsSettings(), TlsSettings{.ca_files = {ca}}}) {
        Request request = get(url, other);
        request.connect_timeout = 300ms;
        const Error error = error_of([&] { http->send(request, {}); });
        CHECK(error.code() == Errc::timed_out);
        CHECK(contains(error.message(), "the TLS handshake with localhost:"));
    }
}

TEST_CASE("the connect timeout of a request replaces that of the client") {
    LoopbackServer server([](ServerConnection& connection, int) { connection.wait_for_close(); });
    Request request = get(server.url("/", "https"));
    request.connect_timeout = 100ms;
    const auto http = make_client({.connect = 10min, .stall = 10min}, "x");
    const Error error = error_of([&] { http->send(request, {}); });
    CHECK(error.code() == Errc::timed_out);
    CHECK(contains(error.message(), "0.1 s"));
}

TEST_CASE("TLS to a server that speaks plain HTTP is unavailable") {
    LoopbackServer server([](ServerConnection& connection, int) {
        char first = 0;
        if (::recv(connection.fd(), &first, 1, 0) == 1) {
            connection.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
        connection.wait_for_close();
    });
    for (const auto tls : {TlsVerification::none, TlsVerification::system_trust_store}) {
        const Error error =
            error_of([&] { client()->send(get(server.url("/", "https"), tls), {}); });
        CHECK(error.code() == Errc::unavailable);
        CHECK(contains(error.message(), " does not speak TLS there, but perhaps plain HTTP"));
        CHECK(contains(error.next_step(), "has to begin with http:// in /d/hosts.toml"));
    }
}

TEST_CASE("a server without TLS 1.2") {
    const Identity identity = make_identity("DNS:localhost");
    const auto context = server_context(identity);
    SSL_CTX_set_security_level(context->get(), 0);
    REQUIRE(SSL_CTX_set_min_proto_version(context->get(), TLS1_VERSION) == 1);
    REQUIRE(SSL_CTX_set_max_proto_version(context->get(), TLS1_1_VERSION) == 1);
    LoopbackServer server(serve_tls(context));
    const Error error =
        error_of([&] { client()->send(get(server.url("/", "https"), TlsVerification::none), {}); });
    CHECK(error.code() == Errc::unsupported);
    CHECK(contains(error.message(), "has no TLS of version 1.2 or later"));
}

/// A server that requires a certificate of `ca`, with this version of TLS.
LoopbackServer::Handler require_certificate(const Identity& identity, const Identity& ca,
                                            int version) {
    const auto context = server_context(identity);
    SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context->get()), ca.certificate.get());
    REQUIRE(SSL_CTX_add_client_CA(context->get(), ca.certificate.get()) == 1);
    REQUIRE(SSL_CTX_set_max_proto_version(context->get(), version) == 1);
    return serve_tls(context);
}

TEST_CASE("client certificates") {
    const Identity identity = make_identity("DNS:localhost");
    const Identity ca = make_identity(nullptr, -60, 3600, nullptr, "client CA");
    const Identity good = make_identity(nullptr, -60, 3600, &ca, "good");
    const Identity other_ca = make_identity(nullptr, -60, 3600, nullptr, "other CA");
    const Identity other = make_identity(nullptr, -60, 3600, &other_ca, "other");
    const PemDirectory files;
    const std::string trusted = files.add("server.pem", pem_of(identity.certificate));
    const std::string both = files.add("both.pem", pem_of(good.key) + pem_of(good.certificate));
    const ClientCertificate in_one{.certificate = both, .key = both};
    const ClientCertificate in_two{.certificate = files.add("good.pem", pem_of(good.certificate)),
                                   .key = files.add("good.key", pem_of(good.key))};
    const ClientCertificate wrong{.certificate = files.add("other.pem", pem_of(other.certificate)),
                                  .key = files.add("other.key", pem_of(other.key))};
    struct Row {
        std::string name;
        std::vector<ClientCertificate> certificates;
        const char* refusal;  ///< part of the message; null: accepted
    };
    const std::vector<Row> rows = {
        {"in one file", {in_one}, nullptr},
        {"in two files", {in_two}, nullptr},
        {"the one that the server's CA signed", {wrong, in_two}, nullptr},
        {"none", {}, " wants a client certificate, and there is none for it"},
        {"of another CA", {wrong}, " refuses the client certificate: "},
    };
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        for (const Row& row : rows) {
            CAPTURE(version);
            CAPTURE(row.name);
            LoopbackServer server(require_certificate(identity, ca, version));
            const std::string url = "https://localhost:" + server.port() + "/";
            const Request request = get(
                url, TlsSettings{.ca_files = {trusted}, .client_certificates = row.certificates});
            const auto http = client();
            if (row.refusal == nullptr) {
                CHECK(body_of(*http, request) == "localhost");
                continue;
            }
            const Error error = error_of([&] { http->send(request, {}); });
            CHECK(error.code() == Errc::unauthenticated);
            CHECK_MESSAGE(contains(error.message(), "localhost:" + server.port() + row.refusal),
                          error.message());
            CHECK(contains(error.next_step(),
                           "\"client\" of [host.\"https://m.example\"] in "
                           "/d/hosts.toml"));
        }
    }
}

TEST_CASE("a server that only offers to take a client certificate gets none, and serves") {
    const Identity identity = make_identity("DNS:localhost");
    const auto context = server_context(identity);
    SSL_CTX_set_verify(context->get(), SSL_VERIFY_PEER, nullptr);
    LoopbackServer server(serve_tls(context));
    CHECK(body_of(*client(), get("https://localhost:" + server.port() + "/",
                                 TlsVerification::none)) == "localhost");
}

TEST_CASE("a file of the settings that cannot be used is an error before anything is sent") {
    const Identity identity = make_identity("DNS:localhost");
    LoopbackServer server(serve_tls(identity));
    const TlsSettings settings{.ca_files = {"/does/not/exist.pem"}};
    const Error error =
        error_of([&] { client()->send(get(server.url("/", "https"), settings), {}); });
    CHECK(error.code() == Errc::usage);
    CHECK(contains(error.message(), "the CA file: cannot open /does/not/exist.pem: No such file"));
    CHECK(server.connections() == 0);
}

}  // namespace prebake::http::client_tls_test
