#pragma once

#include <doctest/doctest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "agent/base/freed.h"
#include "tests/unit/http/loopback_server.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::http {

using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freed<SSL_free>>;

struct Identity {
    Key key;
    Certificate certificate;
};

/// A certificate for `names` ("DNS:localhost", or nullptr for none), valid from `from` to `to`
/// seconds from now; signed by `ca`, or self-signed.
inline Identity make_identity(const char* names, long from = -60, long to = 3600,
                              const Identity* ca = nullptr,
                              const std::string& common_name = "prebake test") {
    Identity identity{.key = Key(EVP_EC_gen("P-256")), .certificate = Certificate(X509_new())};
    X509* const certificate = identity.certificate.get();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), to);
    X509_set_pubkey(certificate, identity.key.get());
    X509_NAME* const name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
    X509_set_issuer_name(certificate,
                         ca == nullptr ? name : X509_get_subject_name(ca->certificate.get()));
    for (const auto& [nid, value] : {std::pair{NID_subject_alt_name, names},
                                     std::pair{NID_basic_constraints, "critical,CA:TRUE"}}) {
        if (value == nullptr) continue;
        X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
        REQUIRE(extension != nullptr);
        X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
    }
    EVP_PKEY* const signer = ca == nullptr ? identity.key.get() : ca->key.get();
    REQUIRE(X509_sign(certificate, signer, EVP_sha256()) > 0);
    return identity;
}

/// What `write` puts into a BIO.
inline std::string pem_from(const std::function<int(BIO*)>& write) {
    const std::unique_ptr<BIO, Freed<BIO_free>> bio(BIO_new(BIO_s_mem()));
    REQUIRE(write(bio.get()) == 1);
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

inline std::string pem_of(const Certificate& certificate) {
    return pem_from([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
}

inline std::string pem_of(const Key& key) {
    return pem_from([&](BIO* bio) {
        return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
}

/// Files that exist as long as this does.
class PemDirectory {
  public:
    /// Returns the path of the new file.
    std::string add(const std::string& name, const std::string& contents) const {
        const std::filesystem::path path = directory_ / name;
        std::ofstream(path, std::ios::binary) << contents;
        return path.string();
    }

  private:
    TemporaryDirectory directory_;
};

/// Replaces OpenSSL's default trust store by this certificate, for clients that connect meanwhile.
class TrustStore {
  public:
    explicit TrustStore(const Identity& identity) {
        const std::string file = files_.add("store.pem", pem_of(identity.certificate));
        ::setenv("SSL_CERT_FILE", file.c_str(), 1);
    }
    ~TrustStore() { ::unsetenv("SSL_CERT_FILE"); }
    TrustStore(const TrustStore&) = delete;
    TrustStore& operator=(const TrustStore&) = delete;

  private:
    PemDirectory files_;
};

/// The context of a server with this certificate.
inline std::shared_ptr<Context> server_context(const Identity& identity) {
    auto context = std::make_shared<Context>(SSL_CTX_new(TLS_server_method()));
    REQUIRE(SSL_CTX_use_certificate(context->get(), identity.certificate.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context->get(), identity.key.get()) == 1);
    return context;
}

/// The header of the next request; empty at the end of the connection.
inline std::string read_request_from(SSL* session) {
    std::string request;
    char byte = 0;
    while (!request.ends_with("\r\n\r\n")) {
        if (SSL_read(session, &byte, 1) != 1) return {};
        request += byte;
    }
    return request;
}

/// Answers each request with the name (SNI) that the client asked for.
inline LoopbackServer::Handler serve_tls(std::shared_ptr<Context> context) {
    return [context](ServerConnection& connection, int) {
        const Session session(SSL_new(context->get()));
        SSL_set_fd(session.get(), connection.fd());
        if (SSL_accept(session.get()) != 1) return;
        while (!read_request_from(session.get()).empty()) {
            const char* const name = SSL_get_servername(session.get(), TLSEXT_NAMETYPE_host_name);
            const std::string body = name == nullptr ? "(no name)" : name;
            const std::string text =
                "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                body;
            SSL_write(session.get(), text.data(), static_cast<int>(text.size()));
        }
    };
}

inline LoopbackServer::Handler serve_tls(const Identity& identity) {
    return serve_tls(server_context(identity));
}

}  // namespace prebake::http
