#include "agent/identity/firstboot/host_certificate.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <memory>

#include "agent/base/error.h"
#include "agent/base/freed.h"
#include "agent/base/sha256.h"

namespace prebake::identity::firstboot {
namespace {

using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Request = std::unique_ptr<X509_REQ, Freed<X509_REQ_free>>;
using Name = std::unique_ptr<X509_NAME, Freed<X509_NAME_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Octets = std::unique_ptr<ASN1_OCTET_STRING, Freed<ASN1_OCTET_STRING_free>>;
using Text = std::unique_ptr<ASN1_IA5STRING, Freed<ASN1_IA5STRING_free>>;
using AlternativeName = std::unique_ptr<GENERAL_NAME, Freed<GENERAL_NAME_free>>;
using AlternativeNames = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;

struct FreeExtensions {
    void operator()(STACK_OF(X509_EXTENSION) * list) const {
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    }
};
using Extensions = std::unique_ptr<STACK_OF(X509_EXTENSION), FreeExtensions>;

constexpr std::size_t kMaxCommonName = 64;  // RFC 5280 appendix A, ub-common-name

[[noreturn]] void throw_openssl(std::string_view what) {
    std::array<char, 256> reason{};
    ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
    ERR_clear_error();
    throw Error(Errc::internal, "cannot " + std::string(what) + ": " + reason.data());
}

void require(bool success, std::string_view what) {
    if (!success) throw_openssl(what);
}

Memory bytes_of(const std::string& text) {
    Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    require(memory != nullptr, "allocate memory");
    return memory;
}

std::string text_of(BIO* memory) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory, &data);
    return {data, static_cast<std::size_t>(size)};
}

/// Nobody can answer a passphrase prompt during boot.
int no_passphrase(char*, int, int, void*) {
    return 0;
}

/// Returns null for text that cannot be read, and leaves no entry in OpenSSL's error queue.
template <typename Pointer, typename Reader>
Pointer read_pem(const std::string& pem, Reader reader) {
    const Memory memory = bytes_of(pem);
    Pointer object(reader(memory.get(), nullptr, no_passphrase, nullptr));
    ERR_clear_error();
    return object;
}

Key read_key(const std::string& pem) {
    return read_pem<Key>(pem, PEM_read_bio_PrivateKey);
}

Key generate_key() {
    Key key(EVP_EC_gen("P-256"));
    require(key != nullptr, "generate an ECDSA P-256 key");
    return key;
}

std::string to_pem(const Key& key) {
    const Memory memory(BIO_new(BIO_s_mem()));
    require(memory && PEM_write_bio_PKCS8PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0,
                                                    nullptr, nullptr) == 1,
            "encode a private key");
    return text_of(memory.get());
}

Name subject_name(const std::string& common_name) {
    std::string text = common_name;
    // Too long for the field. The full name is among the alternative names, which clients check.
    if (text.size() > kMaxCommonName) text.resize(std::min(text.find('.'), kMaxCommonName));
    Name name(X509_NAME_new());
    require(name && X509_NAME_add_entry_by_NID(name.get(), NID_commonName, MBSTRING_UTF8,
                                               reinterpret_cast<const unsigned char*>(text.data()),
                                               static_cast<int>(text.size()), -1, 0) == 1,
            "set the common name of a certificate");
    return name;
}

AlternativeName alternative_name(const std::string& name) {
    AlternativeName entry(GENERAL_NAME_new());
    require(entry != nullptr, "allocate memory");
    if (Octets address{a2i_IPADDRESS(name.c_str())}; address) {
        GENERAL_NAME_set0_value(entry.get(), GEN_IPADD, address.release());
        return entry;
    }
    ERR_clear_error();
    Text text(ASN1_IA5STRING_new());
    require(text && ASN1_STRING_set(text.get(), name.data(), static_cast<int>(name.size())) == 1,
            "set a name of a certificate");
    GENERAL_NAME_set0_value(entry.get(), GEN_DNS, text.release());
    return entry;
}

/// Not with OpenSSL's configuration syntax, where a comma in a name starts another entry.
Extension alternative_names(const std::vector<std::string>& names) {
    const AlternativeNames list(sk_GENERAL_NAME_new_null());
    require(list != nullptr, "allocate memory");
    for (const std::string& name : names) {
        AlternativeName entry = alternative_name(name);
        require(sk_GENERAL_NAME_push(list.get(), entry.get()) > 0, "allocate memory");
        static_cast<void>(entry.release());
    }
    Extension extension(X509V3_EXT_i2d(NID_subject_alt_name, 0, list.get()));
    require(extension != nullptr, "encode the names of a certificate");
    return extension;
}

Extensions make_extensions(const std::vector<std::string>& names) {
    constexpr std::array<std::pair<int, const char*>, 3> kFixed{{
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth,clientAuth"},
    }};
    Extensions list(sk_X509_EXTENSION_new_null());
    require(list != nullptr, "allocate memory");
    const auto append = [&list](Extension extension) {
        require(extension && sk_X509_EXTENSION_push(list.get(), extension.get()) > 0,
                "make an extension of a certificate");
        static_cast<void>(extension.release());
    };
    for (const auto& fixed : kFixed) {
        append(Extension(X509V3_EXT_conf_nid(nullptr, nullptr, fixed.first, fixed.second)));
    }
    if (!names.empty()) append(alternative_names(names));
    return list;
}

/// Edwards curves have their own digest and reject another one.
const EVP_MD* digest_for(const Key& key) {
    const bool has_own =
        EVP_PKEY_is_a(key.get(), "ED25519") == 1 || EVP_PKEY_is_a(key.get(), "ED448") == 1;
    return has_own ? nullptr : EVP_sha256();
}

/// 128 random bits, positive (RFC 5280 4.1.2.2).
void set_serial(X509* certificate) {
    std::array<unsigned char, 16> bytes{};
    require(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1, "get random bytes");
    bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);
    const Number number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
    require(number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)),
            "set the serial number of a certificate");
}

std::string make_self_signed(const Key& key, const CertificateSubject& subject,
                             std::chrono::hours valid_for,
                             std::chrono::system_clock::time_point now) {
    constexpr long kOneHour = 3600;
    std::time_t base = std::chrono::system_clock::to_time_t(now);
    const Certificate certificate(X509_new());
    require(certificate != nullptr, "allocate memory");
    X509* const raw = certificate.get();
    const Name name = subject_name(subject.common_name);
    set_serial(raw);
    require(X509_set_version(raw, X509_VERSION_3) == 1 &&
                X509_time_adj_ex(X509_getm_notBefore(raw), 0, -kOneHour, &base) != nullptr &&
                X509_time_adj_ex(X509_getm_notAfter(raw), static_cast<int>(valid_for.count() / 24),
                                 (valid_for.count() % 24) * kOneHour, &base) != nullptr &&
                X509_set_subject_name(raw, name.get()) == 1 &&
                X509_set_issuer_name(raw, name.get()) == 1 && X509_set_pubkey(raw, key.get()) == 1,
            "make a certificate");
    const Extensions extensions = make_extensions(subject.names);
    for (int i = 0; i < sk_X509_EXTENSION_num(extensions.get()); ++i) {
        require(X509_add_ext(raw, sk_X509_EXTENSION_value(extensions.get(), i), -1) == 1,
                "add an extension to a certificate");
    }
    require(X509_sign(raw, key.get(), digest_for(key)) > 0, "sign a certificate");
    const Memory memory(BIO_new(BIO_s_mem()));
    require(memory && PEM_write_bio_X509(memory.get(), raw) == 1, "encode a certificate");
    return text_of(memory.get());
}

std::string make_request(const Key& key, const CertificateSubject& subject) {
    const Request request(X509_REQ_new());
    require(request != nullptr, "allocate memory");
    X509_REQ* const raw = request.get();
    const Name name = subject_name(subject.common_name);
    const Extensions extensions = make_extensions(subject.names);
    require(X509_REQ_set_version(raw, X509_REQ_VERSION_1) == 1 &&
                X509_REQ_set_subject_name(raw, name.get()) == 1 &&
                X509_REQ_set_pubkey(raw, key.get()) == 1 &&
                X509_REQ_add_extensions(raw, extensions.get()) == 1 &&
                X509_REQ_sign(raw, key.get(), digest_for(key)) > 0,
            "make a certificate request");
    const Memory memory(BIO_new(BIO_s_mem()));
    require(memory && PEM_write_bio_X509_REQ(memory.get(), raw) == 1,
            "encode a certificate request");
    return text_of(memory.get());
}

template <typename Object, typename Encoder>
std::string der_of(Object* object, Encoder encoder) {
    unsigned char* data = nullptr;
    const int size = encoder(object, &data);
    require(size > 0, "encode a certificate");
    const std::unique_ptr<unsigned char,
                          decltype([](unsigned char* bytes) { OPENSSL_free(bytes); })>
        owned(data);
    return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(size)};
}

}  // namespace

std::string make_certificate(const std::string& key, const CertificateSubject& subject,
                             CertificateKind kind, std::chrono::hours valid_for,
                             std::chrono::system_clock::time_point now) {
    const Key parsed = read_key(key);
    if (!parsed) throw Error(Errc::corrupt, "this is not an unencrypted private key in PEM");
    return kind == CertificateKind::request ? make_request(parsed, subject)
                                            : make_self_signed(parsed, subject, valid_for, now);
}

KeyAndCertificate make_key_and_certificate(const CertificateSubject& subject, CertificateKind kind,
                                           std::chrono::hours valid_for,
                                           std::chrono::system_clock::time_point now) {
    KeyAndCertificate made;
    made.key = to_pem(generate_key());
    made.certificate = make_certificate(made.key, subject, kind, valid_for, now);
    return made;
}

bool belongs_to(const std::string& certificate, const std::string& key) {
    const Key parsed = read_key(key);
    if (!parsed) return false;
    bool belongs = false;
    if (const auto x509 = read_pem<Certificate>(certificate, PEM_read_bio_X509)) {
        belongs = X509_check_private_key(x509.get(), parsed.get()) == 1;
    } else if (const auto request = read_pem<Request>(certificate, PEM_read_bio_X509_REQ)) {
        belongs = X509_REQ_check_private_key(request.get(), parsed.get()) == 1;
    }
    ERR_clear_error();
    return belongs;
}

std::string certificate_fingerprint(const std::string& pem) {
    if (const auto certificate = read_pem<Certificate>(pem, PEM_read_bio_X509)) {
        return sha256_hex(der_of(certificate.get(), i2d_X509));
    }
    if (const auto request = read_pem<Request>(pem, PEM_read_bio_X509_REQ)) {
        return sha256_hex(der_of(request.get(), i2d_X509_REQ));
    }
    return {};
}

}  // namespace prebake::identity::firstboot
