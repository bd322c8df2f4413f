#include <doctest/doctest.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "agent/base/stream.h"
#include "agent/http/client.h"
#include "tests/unit/http/error_of.h"
#include "tests/unit/http/loopback_server.h"

namespace prebake::http {
namespace {

using tests::contains;
using tests::error_of;

using namespace std::chrono_literals;

template <auto Free>
struct Freed {
    template <typename Object>
    void operator()(Object* object) const {
        Free(object);
    }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freed<SSL_free>>;

struct Identity {
    Key key;
    Certificate certificate;
};

/// A self-signed certificate for `names` ("DNS:localhost"), valid from `from` to `to` seconds from
/// now.
Identity make_identity(const char* names, long from, long to) {
    Identity identity{.key = Key(EVP_EC_gen("P-256")), .certificate = Certificate(X509_new())};
    X509* const certificate = identity.certificate.get();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), to);
    X509_set_pubkey(certificate, identity.key.get());
    X509_NAME* const name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("prebake test"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    for (const auto& [nid, value] : {std::pair{NID_subject_alt_name, names},
                                     std::pair{NID_basic_constraints, "critical,CA:TRUE"}}) {
        X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
        REQUIRE(extension != nullptr);
        X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
    }
    REQUIRE(X509_sign(certificate, identity.key.get(), EVP_sha256()) > 0);
    return identity;
}

LoopbackServer::Handler serve_tls(const Identity& identity) {
    auto context = std::make_shared<Context>(SSL_CTX_new(TLS_server_method()));
    REQUIRE(SSL_CTX_use_certificate(context->get(), identity.certificate.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context->get(), identity.key.get()) == 1);
    return [context](ServerConnection& connection, int) {
        const Session session(SSL_new(context->get()));
        SSL_set_fd(session.get(), connection.fd());
        if (SSL_accept(session.get()) != 1) return;
        std::string request;
        char byte = 0;
        for (;;) {
            request.clear();
            while (!request.ends_with("\r\n\r\n")) {
                if (SSL_read(session.get(), &byte, 1) != 1) return;
                request += byte;
            }
            const char* const name = SSL_get_servername(session.get(), TLSEXT_NAMETYPE_host_name);
            const std::string body = name == nullptr ? "(no name)" : name;
            const std::string text =
                "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                body;
            SSL_write(session.get(), text.data(), static_cast<int>(text.size()));
        }
    };
}

/// Replaces OpenSSL's default trust store by this certificate, for clients that connect meanwhile.
class TrustStore {
  public:
    explicit TrustStore(const Identity& identity) {
        std::string name = (std::filesystem::temp_directory_path() / "prebake-XXXXXX").string();
        const int fd = ::mkstemp(name.data());
        REQUIRE(fd >= 0);
        file_ = name;
        std::FILE* const stream = ::fdopen(fd, "w");
        CHECK(PEM_write_X509(stream, identity.certificate.get()) == 1);
        std::fclose(stream);
        ::setenv("SSL_CERT_FILE", file_.c_str(), 1);
    }
    ~TrustStore() {
        ::unsetenv("SSL_CERT_FILE");
        ::unlink(file_.c_str());
    }
    TrustStore(const TrustStore&) = delete;
    TrustStore& operator=(const TrustStore&) = delete;

  private:
    std::string file_;
};

Request get(std::string url, TlsVerification tls) {
    Request request;
    request.url = std::move(url);
    request.tls.verification = tls;
    return request;
}

std::unique_ptr<Client> client() {
    return make_client({.connect = 20s, .stall = 20s}, "x");
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
        const char* body;       ///< what the server saw as SNI; null: refused
        const char* next_step;  ///< of the refusal
    };
    constexpr auto kVerified = TlsVerification::system_trust_store;
    constexpr auto kUnverified = TlsVerification::none;
    constexpr const char* kBoth = "DNS:localhost,IP:127.0.0.1";
    for (const Row& row : {
             Row{"trusted name", true, kBoth, -60, 60, "localhost", kVerified, "localhost", ""},
             Row{"trusted address", true, kBoth, -60, 60, "127.0.0.1", kVerified, "(no name)", ""},
             Row{"another name", true, "DNS:other.example", -60, 60, "localhost", kVerified,
                 nullptr, "use a name that the certificate is made for"},
             Row{"another address", true, "DNS:localhost,IP:127.0.0.2", -60, 60, "127.0.0.1",
                 kVerified, nullptr, "use a name that the certificate is made for"},
             Row{"an address as a name", true, "DNS:127.0.0.1", -60, 60, "127.0.0.1", kVerified,
                 nullptr, "use a name that the certificate is made for"},
             Row{"expired", true, kBoth, -120, -60, "localhost", kVerified, nullptr,
                 "check the clock of this machine, and renew the certificate"},
             Row{"not valid yet", true, kBoth, 3600, 7200, "localhost", kVerified, nullptr,
                 "check the clock of this machine, and renew the certificate"},
             Row{"unknown CA", false, kBoth, -60, 60, "localhost", kVerified, nullptr,
                 "install the CA that signed it into the system's trust store"},
             Row{"unverified", false, "DNS:other.example", -120, -60, "localhost", kUnverified,
                 "localhost", ""},
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
            CHECK(read_up_to(*http->send(request, {}), 100) == row.body);
            continue;
        }
        const Error error = error_of([&] { http->send(request, {}); });
        CHECK(error.code() == Errc::permission_denied);
        CHECK(contains(error.message(), "the certificate of " + std::string(row.host) + ":" +
                                            server.port() + " is not trusted"));
        CHECK(error.next_step() == row.next_step);
    }
}

TEST_CASE("an idle unverified connection does not serve a verified request") {
    const Identity identity = make_identity("DNS:localhost", -60, 60);
    LoopbackServer server(serve_tls(identity));
    const auto http = make_client({.connect = 2s, .stall = 20s}, "x");
    const std::string url = "https://localhost:" + server.port() + "/";
    for (int i = 0; i < 2; ++i) {
        CHECK(read_up_to(*http->send(get(url, TlsVerification::none), {}), 100) == "localhost");
    }
    CHECK(server.connections() == 1);
    // The server is busy with the idle connection, so a second one times out.
    const Error error =
        error_of([&] { http->send(get(url, TlsVerification::system_trust_store), {}); });
    CHECK(error.code() == Errc::timed_out);
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
    }
}

}  // namespace
}  // namespace prebake::http
