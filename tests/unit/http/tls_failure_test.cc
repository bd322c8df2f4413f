#include "agent/http/tls_failure.h"

#include <doctest/doctest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"

namespace prebake::http {
namespace {

using Time = TlsFindings::Time;

Time at(std::time_t seconds) {
    return std::chrono::system_clock::from_time_t(seconds);
}

const TlsParty kRegistry{.name = "registry.example:5000",
                         .place = {.hosts_file = "/d/hosts.toml", .host = "https://mirror"},
                         .gets_certificate = false};
const TlsParty kProxyParty{.name = "the proxy p:3129", .place = {}, .gets_certificate = false};

TlsFindings verdict_of(long verdict) {
    return {.verdict = verdict,
            .is_server = true,
            .subject = "CN=leaf",
            .issuer = "CN=Corp CA,O=Corp",
            .valid_from = at(1'700'000'000),
            .valid_until = at(1'800'000'000),
            .names = {},
            .further_names = 0,
            .wants_certificate = false};
}

TEST_CASE("certificates that are not trusted") {
    struct Row {
        long verdict;
        Time now;
        std::string problem;
        std::string next_step;
    };
    const std::string ca = "\"ca\" of [host.\"https://mirror\"] in /d/hosts.toml";
    const std::string clock =
        "if the clock is wrong, set it (timedatectl); otherwise the certificate "
        "has to be replaced";
    const std::string trust = "name the CA that signed it as " + ca +
                              ", or add it to the system's trust store (update-ca-certificates, "
                              "update-ca-trust)";
    const std::vector<Row> rows = {
        {X509_V_ERR_CERT_HAS_EXPIRED, at(1'900'000'000),
         "it expired at 2027-01-15 08:00 UTC, and the clock of this machine says 2030-03-17 17:46 "
         "UTC",
         clock},
        {X509_V_ERR_CERT_NOT_YET_VALID, at(754),
         "it is not valid before 2023-11-14 22:13 UTC, and the clock of this machine says "
         "1970-01-01 00:12 UTC",
         clock},
        {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, at(0), "it is self-signed",
         "name that certificate as " + ca},
        {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, at(0),
         "this machine does not know its CA \"CN=leaf\"", trust},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, at(0),
         "this machine does not know its CA \"CN=Corp CA,O=Corp\", and the server does not send "
         "that CA's certificate",
         trust},
        {X509_V_ERR_EE_KEY_TOO_SMALL, at(0), "EE certificate key too weak",
         "have the certificate replaced"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.verdict);
        const Error error = tls_failure(kRegistry, verdict_of(row.verdict), 0, row.now);
        CHECK(error.code() == Errc::permission_denied);
        CHECK(error.message() ==
              "the certificate of registry.example:5000 is not trusted: " + row.problem);
        CHECK(error.next_step() == row.next_step);
    }
}

TEST_CASE("names of a certificate are shown, and counted when there are many") {
    TlsFindings findings = verdict_of(X509_V_ERR_HOSTNAME_MISMATCH);
    findings.names = {"a.example", "*.b.example\n\x1b[2J"};
    CHECK(tls_failure(kRegistry, findings, 0, at(0)).message() ==
          "the certificate of registry.example:5000 is not trusted: it is made for a.example, "
          "*.b.example??[2J");
    findings.further_names = 37;
    CHECK(tests::contains(tls_failure(kRegistry, findings, 0, at(0)).message(), " and 37 more"));
}

TEST_CASE("settings of a server are above all tables") {
    TlsParty party = kRegistry;
    party.place.host.clear();
    const auto next_step = [&](const TlsFindings& findings, unsigned long failure) {
        return tls_failure(party, findings, failure, at(0)).next_step();
    };
    CHECK(next_step(verdict_of(X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT), 0) ==
          "name that certificate as \"ca\" in /d/hosts.toml (above all tables)");
    const TlsFindings fine = verdict_of(X509_V_OK);
    CHECK(next_step(fine, ERR_PACK(ERR_LIB_SSL, 0, SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED)) ==
          "name one as \"client\" in /d/hosts.toml (above all tables)");
    CHECK(next_step(fine, ERR_PACK(ERR_LIB_SSL, 0, SSL_R_WRONG_VERSION_NUMBER)) ==
          "check its port; without TLS, its URL has to begin with http:// in /d/hosts.toml");
}

TEST_CASE("a proxy has no hosts.toml") {
    const Error error =
        tls_failure(kProxyParty, verdict_of(X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT), 0, at(0));
    CHECK(error.message() ==
          "the certificate of the proxy p:3129 is not trusted: it is self-signed");
    CHECK(error.next_step().starts_with("add the CA that signed it to the system's trust store"));
}

unsigned long ssl_error(int reason) {
    return ERR_PACK(ERR_LIB_SSL, 0, reason);
}

TEST_CASE("what OpenSSL reports") {
    struct Row {
        std::string name;
        unsigned long failure;
        bool wants_certificate;
        bool gets_certificate;
        Errc code;
        std::string message;
    };
    const std::vector<Row> rows = {
        {"plain HTTP", ssl_error(SSL_R_WRONG_VERSION_NUMBER), false, false, Errc::unavailable,
         "does not speak TLS there"},
        {"an old version", ssl_error(SSL_R_UNSUPPORTED_PROTOCOL), false, false, Errc::unsupported,
         "no TLS of version 1.2"},
        {"an old version, in an alert", ssl_error(SSL_R_TLSV1_ALERT_PROTOCOL_VERSION), false, false,
         Errc::unsupported, "no TLS of version 1.2"},
        {"TLS 1.3 wants a certificate", ssl_error(SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED), true,
         false, Errc::unauthenticated, "wants a client certificate, and there is none"},
        {"TLS 1.2 wants a certificate", ssl_error(SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE), true, false,
         Errc::unauthenticated, "wants a client certificate, and there is none"},
        {"the certificate is refused", ssl_error(SSL_R_TLSV1_ALERT_UNKNOWN_CA), true, true,
         Errc::unauthenticated, "refuses the client certificate: "},
        {"closed after it asked for one", 0, true, false, Errc::unauthenticated,
         "wants a client certificate, and there is none"},
        {"a handshake failure that is about no certificate",
         ssl_error(SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE), false, false, Errc::unavailable,
         "the TLS connection to registry.example:5000 failed: "},
        {"another alert while a certificate is wanted", ssl_error(SSL_R_TLSV1_ALERT_INTERNAL_ERROR),
         true, false, Errc::unavailable, "the TLS connection to registry.example:5000 failed: "},
        {"closed", 0, false, false, Errc::unavailable, "failed: it closed the connection"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        TlsFindings findings = verdict_of(X509_V_OK);
        findings.wants_certificate = row.wants_certificate;
        TlsParty party = kRegistry;
        party.gets_certificate = row.gets_certificate;
        const Error error = tls_failure(party, findings, row.failure, at(0));
        CHECK(error.code() == row.code);
        CHECK_MESSAGE(tests::contains(error.message(), row.message), error.message());
    }
}

}  // namespace
}  // namespace prebake::http
