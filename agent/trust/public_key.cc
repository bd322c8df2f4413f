#include "agent/trust/public_key.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/freed.h"
#include "agent/base/sha256.h"

namespace prebake::trust {
namespace {

using KeyPointer = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using EcdsaSignature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;

/// NIST SP 800-131A: shorter keys are no longer accepted.
constexpr int kLeastRsaBits = 2048;
/// OpenSSL takes seconds for a signature with the largest that it knows.
constexpr int kMostRsaBits = 8192;
/// From 3.2 on, EVP_PKEY-Ed25519 has the parameter "instance".
constexpr unsigned int kVersionWithEd25519ph = 0x30200000;
constexpr const char* kCurves = "use ECDSA on P-256 or P-384, RSA, or Ed25519";

enum class Algorithm { ecdsa_p256, ecdsa_p384, rsa, ed25519 };

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

/// A block of a PEM file.
struct Block {
    std::string label;  ///< "PUBLIC KEY"
    std::string der;
};

std::vector<Block> blocks_of(std::string_view pem) {
    std::vector<Block> blocks;
    if (pem.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) return blocks;
    const Memory memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    for (;;) {
        char* label = nullptr;
        char* header = nullptr;
        unsigned char* data = nullptr;
        long size = 0;
        if (PEM_read_bio(memory.get(), &label, &header, &data, &size) != 1) break;
        blocks.push_back(
            {.label = label,
             .der = std::string(reinterpret_cast<char*>(data), static_cast<std::size_t>(size))});
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_free(data);
    }
    ERR_clear_error();
    return blocks;
}

bool is_key(const Block& block) {
    return block.label == "PUBLIC KEY" || block.label == "RSA PUBLIC KEY";
}

/// Why the file holds no public key, or not only that, and what to do.
Error no_public_key(const std::string& file, std::string_view pem,
                    const std::vector<Block>& blocks) {
    const auto odd = std::find_if(blocks.begin(), blocks.end(),
                                  [](const Block& block) { return !is_key(block); });
    const std::string label = odd == blocks.end() ? "" : odd->label;
    // A private key in a form that is not read here still must not lie around.
    if (label.find("PRIVATE KEY") != std::string::npos ||
        pem.find("PRIVATE KEY-----") != std::string_view::npos) {
        return Error(Errc::usage,
                     file +
                         " is a private key; to check signatures, a machine needs the public "
                         "key alone",
                     "remove it from this machine, and name the public key: cosign public-key "
                     "--key KEY, or openssl pkey -in KEY -pubout");
    }
    if (label == "CERTIFICATE" || label == "TRUSTED CERTIFICATE") {
        return Error(Errc::usage, file + " is a certificate, not a public key",
                     "take its key: openssl x509 -in " + file + " -noout -pubkey");
    }
    if (pem.starts_with("ssh-") || pem.starts_with("ecdsa-sha2-")) {
        return Error(Errc::usage, file + " is a public key of SSH, not in PEM form",
                     "convert it: ssh-keygen -e -m pkcs8 -f " + file);
    }
    if (!label.empty()) {
        return Error(Errc::usage, file + " holds \"" + label + "\", not a public key",
                     "name a file that begins with -----BEGIN PUBLIC KEY-----");
    }
    return Error(Errc::usage, file + " is no public key in PEM form",
                 "name a file that begins with -----BEGIN PUBLIC KEY-----");
}

KeyPointer decode(const Block& block) {
    const unsigned char* der = bytes_of(block.der);
    const auto size = static_cast<long>(block.der.size());
    KeyPointer key(block.label == "PUBLIC KEY" ? d2i_PUBKEY(nullptr, &der, size)
                                               : d2i_PublicKey(EVP_PKEY_RSA, nullptr, &der, size));
    const bool is_whole = der == bytes_of(block.der) + block.der.size();
    ERR_clear_error();
    return is_whole ? std::move(key) : nullptr;
}

std::string curve_of(const EVP_PKEY* key) {
    std::array<char, 80> name{};
    std::size_t size = 0;
    if (EVP_PKEY_get_group_name(key, name.data(), name.size(), &size) != 1) {
        ERR_clear_error();
        return "with parameters of its own";
    }
    return {name.data(), size};
}

/// What kind of key it is. @throws Error usage if it is none of those that can be used.
Algorithm algorithm_of(const EVP_PKEY* key, const std::string& file) {
    if (EVP_PKEY_is_a(key, "ED25519") == 1) return Algorithm::ed25519;
    if (EVP_PKEY_is_a(key, "EC") == 1) {
        const std::string curve = curve_of(key);
        if (curve == "prime256v1") return Algorithm::ecdsa_p256;
        if (curve == "secp384r1") return Algorithm::ecdsa_p384;
        throw Error(Errc::usage,
                    file + " is an ECDSA key on the curve " + curve +
                        ", which prebake does not verify with",
                    kCurves);
    }
    if (EVP_PKEY_is_a(key, "RSA") == 1) {
        const int bits = EVP_PKEY_get_bits(key);
        if (bits >= kLeastRsaBits && bits <= kMostRsaBits) return Algorithm::rsa;
        throw Error(Errc::usage, file + " is an RSA key of " + std::to_string(bits) + " bits",
                    "use one of " + std::to_string(kLeastRsaBits) + " to " +
                        std::to_string(kMostRsaBits) + " bits");
    }
    const char* const type = EVP_PKEY_get0_type_name(key);
    throw Error(Errc::usage,
                file + " is a key of the type " + (type == nullptr ? "unknown" : type) +
                    ", which prebake does not verify with",
                kCurves);
}

std::string words_for(Algorithm algorithm, const EVP_PKEY* key) {
    switch (algorithm) {
        case Algorithm::ecdsa_p256:
            return "ECDSA P-256";
        case Algorithm::ecdsa_p384:
            return "ECDSA P-384";
        case Algorithm::rsa:
            return "RSA " + std::to_string(EVP_PKEY_get_bits(key));
        case Algorithm::ed25519:
            return "Ed25519";
    }
    return {};
}

std::string fingerprint_of(const EVP_PKEY* key, const std::string& file) {
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key, &der);
    if (size <= 0) {
        ERR_clear_error();
        throw Error(Errc::internal, "cannot encode the key of " + file);
    }
    const std::string text(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return "sha256:" + sha256_hex(text);
}

bool knows_ed25519ph() {
    return OpenSSL_version_num() >= kVersionWithEd25519ph;
}

/// How to check one signature.
struct Scheme {
    const char* digest = nullptr;    ///< null: the scheme has its own
    int rsa_padding = 0;             ///< 0: no RSA
    const char* instance = nullptr;  ///< of Ed25519
};

bool is_valid(EVP_PKEY* key, const Scheme& scheme, std::string_view message,
              std::string_view signature) {
    // RFC 8017 8.1.2 and 8.2.2: exactly as long as the modulus. For PSS, OpenSSL also accepts a
    // signature whose leading zeros are missing.
    if (scheme.rsa_padding != 0 &&
        signature.size() != static_cast<std::size_t>(EVP_PKEY_get_size(key))) {
        return false;
    }
    const DigestContext context(EVP_MD_CTX_new());
    EVP_PKEY_CTX* settings = nullptr;
    std::array<OSSL_PARAM, 2> parameters{OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
    std::string instance = scheme.instance == nullptr ? "" : scheme.instance;
    if (!instance.empty()) {
        parameters[0] = OSSL_PARAM_construct_utf8_string("instance", instance.data(), 0);
    }
    bool is_good = context != nullptr &&
                   EVP_DigestVerifyInit_ex(context.get(), &settings, scheme.digest, nullptr,
                                           nullptr, key, parameters.data()) == 1;
    if (is_good && scheme.rsa_padding != 0) {
        is_good = EVP_PKEY_CTX_set_rsa_padding(settings, scheme.rsa_padding) == 1;
        if (is_good && scheme.rsa_padding == RSA_PKCS1_PSS_PADDING) {
            is_good = EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_AUTO) == 1;
        }
    }
    is_good = is_good && EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(),
                                          bytes_of(message), message.size()) == 1;
    ERR_clear_error();
    return is_good;
}

/// The DER form of an ECDSA signature of two numbers of `half` bytes. Nothing for another length.
std::optional<std::string> der_of_pair(std::string_view signature, int half) {
    if (signature.size() != 2 * static_cast<std::size_t>(half)) return std::nullopt;
    const EcdsaSignature pair(ECDSA_SIG_new());
    BIGNUM* const r = BN_bin2bn(bytes_of(signature), half, nullptr);
    BIGNUM* const s = BN_bin2bn(bytes_of(signature) + half, half, nullptr);
    if (pair == nullptr || r == nullptr || s == nullptr || ECDSA_SIG_set0(pair.get(), r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return std::nullopt;
    }
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(pair.get(), &der);
    if (size <= 0) return std::nullopt;
    std::string text(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return text;
}

}  // namespace

struct PublicKey::Key {
    KeyPointer pointer;
    Algorithm algorithm;

    std::vector<Scheme> schemes() const {
        switch (algorithm) {
            case Algorithm::ecdsa_p256:
                return {{.digest = "SHA256"}};
            case Algorithm::ecdsa_p384:
                return {{.digest = "SHA384"}, {.digest = "SHA256"}};
            case Algorithm::rsa:
                return {{.digest = "SHA256", .rsa_padding = RSA_PKCS1_PADDING},
                        {.digest = "SHA256", .rsa_padding = RSA_PKCS1_PSS_PADDING}};
            case Algorithm::ed25519:
                if (!knows_ed25519ph()) return {Scheme{}};
                return {Scheme{}, {.instance = "Ed25519ph"}};
        }
        return {};
    }

    /// Bytes of one number of a signature; 0: it is no ECDSA key.
    int half() const {
        switch (algorithm) {
            case Algorithm::ecdsa_p256:
                return 32;
            case Algorithm::ecdsa_p384:
                return 48;
            case Algorithm::rsa:
            case Algorithm::ed25519:
                return 0;
        }
        return 0;
    }

    bool verifies(std::string_view message, std::string_view signature) const {
        for (const Scheme& scheme : schemes()) {
            if (is_valid(pointer.get(), scheme, message, signature)) return true;
        }
        return false;
    }
};

PublicKey::PublicKey(std::shared_ptr<const Key> key, std::string file)
    : key_(std::move(key)),
      file_(std::move(file)),
      kind_(words_for(key_->algorithm, key_->pointer.get())),
      fingerprint_(fingerprint_of(key_->pointer.get(), file_)) {}

PublicKey PublicKey::parse(std::string_view pem, const std::string& file) {
    const std::vector<Block> blocks = blocks_of(pem);
    if (blocks.empty() || !std::all_of(blocks.begin(), blocks.end(), is_key)) {
        throw no_public_key(file, pem, blocks);
    }
    if (blocks.size() > 1) {
        throw Error(Errc::usage, file + " holds " + std::to_string(blocks.size()) + " public keys",
                    "put each key into a file of its own, and list them all");
    }
    KeyPointer pointer = decode(blocks.front());
    if (pointer == nullptr) {
        throw Error(Errc::usage, file + " holds a damaged public key, or one of an unknown type",
                    kCurves);
    }
    const Algorithm algorithm = algorithm_of(pointer.get(), file);
    return {std::make_shared<const Key>(Key{std::move(pointer), algorithm}), file};
}

std::string PublicKey::limitation() const {
    if (key_->algorithm != Algorithm::ed25519 || knows_ed25519ph()) return {};
    return std::string("with the Ed25519 key of ") + file_ +
           " this machine's OpenSSL checks pure signatures alone: Ed25519ph, which cosign 3 "
           "writes, needs OpenSSL 3.2";
}

bool PublicKey::verifies(std::string_view message, std::string_view signature) const {
    if (signature.empty()) return false;
    if (key_->verifies(message, signature)) return true;
    if (key_->half() == 0) return false;
    const auto der = der_of_pair(signature, key_->half());
    return der && key_->verifies(message, *der);
}

}  // namespace prebake::trust
