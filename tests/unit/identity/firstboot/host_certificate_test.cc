#include "agent/identity/firstboot/host_certificate.h"

#include <doctest/doctest.h>

#include <array>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::identity::firstboot {
namespace {

using prebake::tests::contains;
using prebake::tests::thrown_by;
using namespace std::chrono_literals;

const CertificateSubject kSubject{.common_name = "node-1.example",
                                  .names = {"node-1.example", "i-0123456789abcdef0", "10.24.34.0",
                                            "fd00::1", "a,DNS:evil.example"}};

/// What openssl(1) makes of it: another reader than the one that wrote it.
std::string shown(const std::string& kind, const std::string& pem) {
    const TemporaryDirectory directory;
    const std::filesystem::path file = directory.path() / "pem";
    write_file_durably(file, pem, 0600);
    return run_or_throw(
        {.arguments = {"openssl", kind, "-in", file, "-noout", "-text"}, .environment = {}}, {});
}

TEST_CASE("certificate: an independent reader sees the same") {
    const KeyAndCertificate made =
        make_key_and_certificate(kSubject, CertificateKind::self_signed, 24h * 365);
    CHECK(made.key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    const std::string text = shown("x509", made.certificate);
    for (const char* const expected :
         {"Version: 3", "ecdsa-with-SHA256", "Issuer: CN = node-1.example",
          "Subject: CN = node-1.example", "NIST CURVE: P-256", "CA:FALSE", "Digital Signature",
          "TLS Web Server Authentication, TLS Web Client Authentication", "DNS:node-1.example",
          "DNS:i-0123456789abcdef0", "IP Address:10.24.34.0", "IP Address:FD00:0:0:0:0:0:0:1",
          "DNS:a,DNS:evil.example"}) {
        CAPTURE(expected);
        CHECK(contains(text, expected));
    }
}

TEST_CASE("certificate: valid from an hour ago, for the requested time") {
    const TemporaryDirectory directory;
    const std::filesystem::path file = directory.path() / "pem";
    write_file_durably(
        file, make_key_and_certificate(kSubject, CertificateKind::self_signed, 36h).certificate,
        0600);
    // 0: still valid then; 1: expired.
    const std::pair<const char*, int> rows[] = {{"0", 0}, {"129000", 0}, {"130200", 1}};
    for (const auto& row : rows) {
        CAPTURE(row.first);
        CHECK(run_command(
                  {.arguments = {"openssl", "x509", "-in", file, "-noout", "-checkend", row.first},
                   .environment = {}},
                  {})
                  .status == row.second);
    }
}

TEST_CASE("request: PKCS #10 with its names, signed by its key") {
    const KeyAndCertificate made =
        make_key_and_certificate(kSubject, CertificateKind::request, 24h);
    CHECK(made.certificate.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"));
    const std::string text = shown("req", made.certificate);
    CHECK(contains(text, "Subject: CN = node-1.example"));
    CHECK(contains(text, "IP Address:10.24.34.0"));
    CHECK(belongs_to(made.certificate, made.key));
}

TEST_CASE("certificate: no two are alike") {
    const auto one = make_key_and_certificate(kSubject, CertificateKind::self_signed, 24h);
    const auto two = make_key_and_certificate(kSubject, CertificateKind::self_signed, 24h);
    CHECK(one.key != two.key);
    CHECK(certificate_fingerprint(one.certificate) != certificate_fingerprint(two.certificate));
    const std::string again =
        make_certificate(one.key, kSubject, CertificateKind::self_signed, 24h);
    CHECK(belongs_to(again, one.key));
    CHECK(certificate_fingerprint(again) != certificate_fingerprint(one.certificate));  // serial
}

TEST_CASE("certificate: a name too long for the common name is complete among the names") {
    const std::string long_name = "ip-10-24-34-0." + std::string(60, 'x') + ".example";
    const auto made = make_key_and_certificate({.common_name = long_name, .names = {long_name}},
                                               CertificateKind::self_signed, 24h);
    const std::string text = shown("x509", made.certificate);
    CHECK(contains(text, "Subject: CN = ip-10-24-34-0\n"));
    CHECK(contains(text, "DNS:" + long_name));
    const std::string label(100, 'y');
    CHECK(contains(shown("x509", make_key_and_certificate({.common_name = label, .names = {}},
                                                          CertificateKind::self_signed, 24h)
                                     .certificate),
                   "Subject: CN = " + label.substr(0, 64) + "\n"));
}

TEST_CASE("belongs_to and certificate_fingerprint: any bytes") {
    const auto one = make_key_and_certificate(kSubject, CertificateKind::self_signed, 24h);
    const auto two = make_key_and_certificate(kSubject, CertificateKind::self_signed, 24h);
    CHECK(belongs_to(one.certificate, one.key));
    CHECK(!belongs_to(one.certificate, two.key));
    CHECK(!belongs_to(one.key, one.key));
    CHECK(certificate_fingerprint(one.certificate).size() == 64);
    CHECK(certificate_fingerprint(one.key).empty());
    const std::array<std::string, 4> rows{"", std::string("\0\0", 2), "-----BEGIN CERTIFICATE-----",
                                          one.certificate.substr(0, 200)};
    for (const std::string& row : rows) {
        CHECK(!belongs_to(row, one.key));
        CHECK(!belongs_to(one.certificate, row));
        CHECK(certificate_fingerprint(row).empty());
        CHECK(thrown_by([&] {
                  make_certificate(row, kSubject, CertificateKind::self_signed, 24h);
              }).code() == Errc::corrupt);
    }
}

TEST_CASE("a certificate has the given time") {
    const auto then = std::chrono::sys_days{std::chrono::year{2031} / 5 / 6};
    const auto made =
        make_key_and_certificate(kSubject, CertificateKind::self_signed, 24h, then).certificate;
    CHECK(contains(shown("x509", made), "Not Before: May  5 23:00:00 2031 GMT"));
    CHECK(contains(shown("x509", made), "Not After : May  7 00:00:00 2031 GMT"));
}

TEST_CASE("make_certificate: keys of other algorithms, and one with a passphrase") {
    const TemporaryDirectory directory;
    const std::filesystem::path file = directory.path() / "key";
    for (const char* const algorithm : {"ED25519", "RSA"}) {
        CAPTURE(algorithm);
        run_or_throw({.arguments = {"openssl", "genpkey", "-algorithm", algorithm, "-out", file},
                      .environment = {}},
                     {});
        const std::string key = read_file(file, 1UL << 20);
        for (const CertificateKind kind : {CertificateKind::self_signed, CertificateKind::request})
            CHECK(belongs_to(make_certificate(key, kSubject, kind, 24h), key));
    }
    run_or_throw({.arguments = {"openssl", "genpkey", "-algorithm", "ED25519", "-aes-256-cbc",
                                "-pass", "pass:x", "-out", file},
                  .environment = {}},
                 {});
    const std::string locked = read_file(file, 1UL << 20);
    CHECK(contains(locked, "ENCRYPTED"));
    CHECK(!belongs_to(locked, locked));
    CHECK(thrown_by([&] {
              make_certificate(locked, kSubject, CertificateKind::self_signed, 24h);
          }).code() == Errc::corrupt);
}

}  // namespace
}  // namespace prebake::identity::firstboot
