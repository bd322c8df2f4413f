#include "agent/http/tls_context.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/http/error_of.h"
#include "tests/unit/http/tls_server.h"

namespace prebake::http {
namespace {

using tests::contains;
using tests::error_of;

std::string der_of(const Certificate& certificate) {
    return pem_from([&](BIO* bio) { return i2d_X509_bio(bio, certificate.get()); });
}

std::string encrypted_pem_of(const Key& key) {
    return pem_from([&](BIO* bio) {
        return PEM_write_bio_PrivateKey(bio, key.get(), EVP_aes_128_cbc(),
                                        reinterpret_cast<const unsigned char*>("SECRET"), 6,
                                        nullptr, nullptr);
    });
}

TEST_CASE("CA files") {
    const Identity one = make_identity(nullptr);
    const Identity two = make_identity(nullptr);
    const PemDirectory files;
    const std::string pem = pem_of(one.certificate);
    struct Row {
        std::string name;
        std::string contents;
        std::string problem;  ///< part of the message; empty: the file can be used
    };
    const std::vector<Row> rows = {
        {"one.pem", pem, ""},
        {"two.pem", pem + "# a comment\n" + pem_of(two.certificate), ""},
        {"twice.pem", pem + pem, ""},
        {"with-key.pem", pem_of(one.key) + pem, ""},
        {"crlf.pem", "\r\n\r\n" + pem, ""},
        {"empty.pem", "", "has no certificate in PEM form"},
        {"text.pem", "not a certificate\n", "has no certificate in PEM form"},
        {"key.pem", pem_of(one.key), "has no certificate in PEM form"},
        {"binary.der", der_of(one.certificate), "has no certificate in PEM form"},
        {"cut.pem", pem.substr(0, pem.size() / 2), "has a malformed certificate"},
        {"broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
         "has a malformed certificate"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const std::string file = files.add(row.name, row.contents);
        const TlsSettings settings{.ca_files = {file}};
        if (row.problem.empty()) {
            CHECK(make_tls_context(settings) != nullptr);
            continue;
        }
        const Error error = error_of([&] { make_tls_context(settings); });
        CHECK(error.code() == Errc::usage);
        CHECK_MESSAGE(contains(error.message(), "the CA file " + file + " " + row.problem),
                      error.message());
        const bool is_der = row.name == "binary.der";
        CHECK(contains(error.next_step(), "openssl x509 -inform der -in " + file) == is_der);
    }
}

TEST_CASE("files that cannot be read") {
    const PemDirectory files;
    const std::string large = files.add("large.pem", std::string(5U << 20, 'x'));
    for (const std::string& name : {std::string("/does/not/exist"), std::string("/"), large}) {
        CAPTURE(name);
        const TlsSettings as_ca{.ca_files = {name}};
        CHECK(
            contains(error_of([&] { make_tls_context(as_ca); }).message(), "the CA file: cannot "));
        const TlsSettings as_client{.client_certificates = {{.certificate = name, .key = name}}};
        const Error error = error_of([&] { make_tls_context(as_client); });
        CHECK(error.code() == Errc::usage);
        CHECK(contains(error.message(), "the client certificate: cannot "));
    }
}

TEST_CASE("files of a client certificate") {
    const Identity ca = make_identity(nullptr, -60, 3600, nullptr, "CA");
    const Identity mine = make_identity(nullptr, -60, 3600, &ca, "mine");
    const Identity other = make_identity(nullptr);
    const PemDirectory files;
    const std::string certificate = files.add("mine.pem", pem_of(mine.certificate));
    const std::string chain =
        files.add("chain.pem", pem_of(mine.certificate) + pem_of(ca.certificate));
    const std::string key = files.add("mine.key", pem_of(mine.key));
    const std::string both = files.add("both.pem", pem_of(mine.certificate) + pem_of(mine.key));
    const std::string other_key = files.add("other.key", pem_of(other.key));
    const std::string encrypted = files.add("encrypted.key", encrypted_pem_of(mine.key));
    struct Row {
        ClientCertificate names;
        std::string problem;  ///< part of the message; empty: they can be used
    };
    const std::vector<Row> rows = {
        {{certificate, key}, ""},
        {{chain, key}, ""},
        {{both, both}, ""},
        {{certificate, other_key},
         "the key of the client certificate " + other_key +
             " does not belong to the certificate "
             "in " +
             certificate},
        {{certificate, encrypted},
         "the key of the client certificate " + encrypted + " is encrypted"},
        {{certificate, certificate},
         "the key of the client certificate " + certificate + " has no private key in PEM form"},
        {{key, key}, "the client certificate " + key + " has no certificate in PEM form"},
        {{certificate, "/does/not/exist"},
         "the key of the client certificate: cannot open /does/not/exist: No such file"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.names.certificate);
        CAPTURE(row.names.key);
        // Also where the server is not verified.
        for (const auto verification :
             {TlsVerification::system_trust_store, TlsVerification::none}) {
            const TlsSettings settings{.verification = verification,
                                       .client_certificates = {row.names}};
            if (row.problem.empty()) {
                CHECK(make_tls_context(settings) != nullptr);
                continue;
            }
            const Error error = error_of([&] { make_tls_context(settings); });
            CHECK(error.code() == Errc::usage);
            CHECK_MESSAGE(contains(error.message(), row.problem), error.message());
        }
    }
}

TEST_CASE("the contexts that were used last are kept") {
    TlsContexts contexts;
    const Identity identity = make_identity(nullptr);
    const PemDirectory files;
    std::vector<TlsSettings> settings(1);
    for (int i = 0; i < 16; ++i) {
        settings.push_back(
            {.ca_files = {files.add(std::to_string(i), pem_of(identity.certificate))}});
    }
    const TlsContext first = contexts.get(settings[0]);
    const std::weak_ptr<SSL_CTX> second = contexts.get(settings[1]);
    for (std::size_t i = 2; i < 16; ++i) contexts.get(settings[i]);
    CHECK(contexts.get(settings[0]) == first);
    CHECK_FALSE(second.expired());
    contexts.get(settings[16]);  // the seventeenth
    CHECK(second.expired());
    CHECK(contexts.get(settings[0]) == first);
    CHECK(contexts.get(settings[1]) != nullptr);
    // Where settings are written does not make them different.
    CHECK(contexts.get({.place = {.hosts_file = "/d/hosts.toml"}}) == first);
}

}  // namespace
}  // namespace prebake::http
