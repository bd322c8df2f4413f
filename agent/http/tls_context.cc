#include "agent/http/tls_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/freed.h"

namespace prebake::http {
namespace {

/// A bundle of all public CAs has 220 KB.
constexpr std::size_t kMaxPemBytes = 4UL << 20;
/// A bake talks to a few registries, each with one set of settings.
constexpr std::size_t kMaxContexts = 16;
constexpr std::size_t kMaxNameBytes = 200;

using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using X509Ptr = std::unique_ptr<X509, Freed<X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using SslSession = std::unique_ptr<SSL, Freed<SSL_free>>;

void free_chain(STACK_OF(X509) * chain) {
    sk_X509_pop_free(chain, X509_free);
}
using Chain = std::unique_ptr<STACK_OF(X509), Freed<free_chain>>;

/// A client certificate with its key and the certificates of the CAs above it.
struct LoadedCertificate {
    X509Ptr certificate;
    Chain chain;
    PrivateKey key;
};
using LoadedCertificates = std::vector<LoadedCertificate>;

/// OpenSSL frees what belongs to a context or a session together with it.
template <typename Value>
void free_extra(void*, void* value, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<Value*>(value);
}

int certificates_index() {
    static const int kIndex =
        SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, free_extra<LoadedCertificates>);
    return kIndex;
}

int findings_index() {
    static const int kIndex =
        SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, free_extra<TlsFindings>);
    return kIndex;
}

TlsFindings& findings_in(const SSL* session) {
    return *static_cast<TlsFindings*>(SSL_get_ex_data(session, findings_index()));
}

/// OpenSSL's reason for the latest failure on this thread.
std::string openssl_reason() {
    const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason == nullptr ? "unknown reason" : reason;
}

/// A PEM file of the settings.
class PemFile {
  public:
    PemFile(std::string what, std::string name)
        : what_(std::move(what)), name_(std::move(name)), text_(read()) {}

    Bio open() const {
        ERR_clear_error();
        return Bio(BIO_new_mem_buf(text_.data(), static_cast<int>(text_.size())));
    }

    Error unusable(const std::string& problem, const std::string& next_step = {}) const {
        return Error(Errc::usage, "the " + what_ + " " + name_ + " " + problem, next_step);
    }

    /// For a file in which nothing of the wanted kind was found.
    Error lacks(const std::string& kind) const {
        const bool is_der = !text_.empty() && text_.front() == '\x30';
        return unusable("has no " + kind + " in PEM form",
                        is_der ? "it seems to be in DER form: convert it, for example with openssl "
                                 "x509 -inform der -in " +
                                     name_ + " -out " + name_ + ".pem"
                               : "");
    }

    const std::string& name() const { return name_; }

  private:
    std::string read() const {
        try {
            return read_file(name_, kMaxPemBytes);
        } catch (const Error& error) {
            throw Error(Errc::usage, "the " + what_ + ": " + error.message(),
                        "correct the name or the mode of the file");
        }
    }

    std::string what_;
    std::string name_;
    std::string text_;
};

/// The next certificate of a file; null at its end.
X509Ptr next_certificate(const PemFile& file, BIO& bio) {
    X509Ptr certificate(PEM_read_bio_X509_AUX(&bio, nullptr, nullptr, nullptr));
    if (certificate) return certificate;
    const unsigned long failure = ERR_peek_last_error();
    const bool is_end =
        ERR_GET_LIB(failure) == ERR_LIB_PEM && ERR_GET_REASON(failure) == PEM_R_NO_START_LINE;
    const std::string reason = openssl_reason();
    if (!is_end) throw file.unusable("has a malformed certificate: " + reason);
    return nullptr;
}

void trust_file(SSL_CTX& context, const std::string& name) {
    const PemFile file("CA file", name);
    const Bio bio = file.open();
    std::size_t count = 0;
    while (const X509Ptr certificate = next_certificate(file, *bio)) {
        if (X509_STORE_add_cert(SSL_CTX_get_cert_store(&context), certificate.get()) != 1) {
            throw file.unusable("has a certificate that cannot be used: " + openssl_reason());
        }
        ++count;
    }
    if (count == 0) throw file.lacks("certificate");
}

/// OpenSSL would ask for the password on the terminal.
int refuse_password(char*, int, int, void* was_asked) {
    *static_cast<bool*>(was_asked) = true;
    return -1;
}

PrivateKey load_key(const PemFile& file) {
    bool is_encrypted = false;
    const Bio bio = file.open();
    PrivateKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_password, &is_encrypted));
    ERR_clear_error();
    if (is_encrypted) {
        throw file.unusable("is encrypted, and prebake has no password for it",
                            "decrypt it, for example with openssl pkey -in " + file.name());
    }
    if (!key) throw file.lacks("private key");
    return key;
}

LoadedCertificate load(const ClientCertificate& names) {
    const PemFile file("client certificate", names.certificate);
    const Bio bio = file.open();
    LoadedCertificate loaded{
        .certificate = next_certificate(file, *bio), .chain = Chain(sk_X509_new_null()), .key = {}};
    if (!loaded.certificate) throw file.lacks("certificate");
    while (X509Ptr above = next_certificate(file, *bio)) {
        if (sk_X509_push(loaded.chain.get(), above.get()) > 0) static_cast<void>(above.release());
    }
    const PemFile key_file("key of the client certificate", names.key);
    loaded.key = load_key(key_file);
    if (X509_check_private_key(loaded.certificate.get(), loaded.key.get()) != 1) {
        ERR_clear_error();
        throw key_file.unusable("does not belong to the certificate in " + names.certificate);
    }
    return loaded;
}

/// OpenSSL calls it when the server asks for a client certificate. 1: go on, with or without one.
int choose_certificate(SSL* session, void*) {
    findings_in(session).wants_certificate = true;
    const auto* const all = static_cast<const LoadedCertificates*>(
        SSL_CTX_get_ex_data(SSL_get_SSL_CTX(session), certificates_index()));
    if (all->empty()) return 1;
    const auto is_wanted = [&](const LoadedCertificate& each) {
        const int suits =
            SSL_check_chain(session, each.certificate.get(), each.key.get(), each.chain.get());
        constexpr int kWanted = CERT_PKEY_ISSUER_NAME | CERT_PKEY_EE_SIGNATURE;
        return (suits & kWanted) == kWanted;
    };
    const auto found = std::find_if(all->begin(), all->end(), is_wanted);
    // Some servers do not name all of the CAs that they accept.
    const LoadedCertificate& chosen = found == all->end() ? all->front() : *found;
    return SSL_use_cert_and_key(session, chosen.certificate.get(), chosen.key.get(),
                                chosen.chain.get(), 1);
}

std::string text_of_name(const X509_NAME* name) {
    const Bio bio(BIO_new(BIO_s_mem()));
    X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &text);
    if (text == nullptr || size <= 0) return "(no name)";
    return shorten(printable({text, static_cast<std::size_t>(size)}), kMaxNameBytes);
}

TlsFindings::Time time_of(const ASN1_TIME* time) {
    std::tm broken_down{};
    if (ASN1_TIME_to_tm(time, &broken_down) != 1) return {};
    return std::chrono::system_clock::from_time_t(::timegm(&broken_down));
}

std::string text_of_address(const ASN1_OCTET_STRING& bytes) {
    const int family = ASN1_STRING_length(&bytes) == 4 ? AF_INET : AF_INET6;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const bool is_address = family == AF_INET || ASN1_STRING_length(&bytes) == 16;
    if (!is_address || ::inet_ntop(family, ASN1_STRING_get0_data(&bytes), text.data(),
                                   static_cast<socklen_t>(text.size())) == nullptr) {
        return "(no address)";
    }
    return text.data();
}

void add_name(TlsFindings& findings, const std::string& name) {
    if (findings.names.size() < kMaxTlsNames) {
        findings.names.push_back(shorten(printable(name), kMaxNameBytes));
    } else {
        ++findings.further_names;
    }
}

/// The names and addresses that a server's certificate is made for.
void note_names(TlsFindings& findings, const X509& certificate) {
    auto* const names = static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
        const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) {
            const auto* const text =
                reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
            add_name(findings,
                     {text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))});
        } else if (name->type == GEN_IPADD) {
            add_name(findings, text_of_address(*name->d.iPAddress));
        }
    }
    GENERAL_NAMES_free(names);
    // Only without other names the common name is compared with the host.
    if (findings.names.empty()) add_name(findings, findings.subject);
}

/// OpenSSL calls it for each certificate of the chain. 0: end the handshake.
int note_verdict(int is_accepted, X509_STORE_CTX* verification) {
    if (is_accepted == 1) return 1;
    const auto* const session = static_cast<const SSL*>(
        X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
    TlsFindings& findings = findings_in(session);
    findings.verdict = X509_STORE_CTX_get_error(verification);
    const X509* const own = X509_STORE_CTX_get0_cert(verification);
    const X509* const current = X509_STORE_CTX_get_current_cert(verification);
    const X509* const certificate = current == nullptr ? own : current;
    findings.is_server = X509_STORE_CTX_get_error_depth(verification) == 0;
    findings.subject = text_of_name(X509_get_subject_name(certificate));
    findings.issuer = text_of_name(X509_get_issuer_name(certificate));
    findings.valid_from = time_of(X509_get0_notBefore(certificate));
    findings.valid_until = time_of(X509_get0_notAfter(certificate));
    if (findings.is_server) note_names(findings, *certificate);
    return 0;
}

}  // namespace

TlsContext make_tls_context(const TlsSettings& settings) {
    TlsContext context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    if (!context) throw Error(Errc::internal, "cannot use TLS: " + openssl_reason());
    // As options, because the system's configuration of OpenSSL may demand more.
    SSL_CTX_set_options(context.get(), SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1);
    auto certificates = std::make_unique<LoadedCertificates>();
    for (const ClientCertificate& names : settings.client_certificates) {
        certificates->push_back(load(names));
    }
    SSL_CTX_set_ex_data(context.get(), certificates_index(), certificates.release());
    SSL_CTX_set_cert_cb(context.get(), choose_certificate, nullptr);
    if (settings.verification == TlsVerification::none) return context;
    if (SSL_CTX_set_default_verify_paths(context.get()) != 1) {
        throw Error(Errc::io, "cannot load the system's trust store: " + openssl_reason());
    }
    ERR_clear_error();  // files that the system does not have
    for (const std::string& file : settings.ca_files) trust_file(*context, file);
    // As Go, and so containerd: a certificate of the files is trusted also if it is not
    // self-signed.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context.get()), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, note_verdict);
    return context;
}

TlsContext TlsContexts::get(TlsSettings settings) {
    settings.place = {};  // which is for messages only
    const std::lock_guard lock(mutex_);
    const auto known = std::find_if(latest_.begin(), latest_.end(),
                                    [&](const auto& each) { return each.first == settings; });
    auto used = known == latest_.end() ? std::pair(settings, make_tls_context(settings))
                                       : std::move(*known);
    if (known != latest_.end()) latest_.erase(known);
    latest_.push_back(std::move(used));
    if (latest_.size() > kMaxContexts) latest_.pop_front();
    return latest_.back().second;
}

SSL* make_tls_session(SSL_CTX& context, const std::string& host) {
    SslSession session(SSL_new(&context));
    if (!session) throw Error(Errc::internal, "cannot use TLS: " + openssl_reason());
    SSL_set_ex_data(session.get(), findings_index(), std::make_unique<TlsFindings>().release());
    X509_VERIFY_PARAM* const parameters = SSL_get0_param(session.get());
    // Fails for what is no address.
    if (X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1) return session.release();
    ERR_clear_error();
    SSL_set_tlsext_host_name(session.get(), host.c_str());
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), host.size());
    return session.release();
}

const TlsFindings& findings_of(const SSL& session) {
    return findings_in(&session);
}

}  // namespace prebake::http
