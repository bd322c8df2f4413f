#include "agent/base/sha256.h"

#include <openssl/evp.h>

#include <vector>

#include "agent/base/error.h"
#include "agent/base/hex.h"

namespace prebake {
namespace {

constexpr std::size_t kReadBytes = 256UL << 10;

}  // namespace

struct Sha256::Context {
    struct Free {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, Free> evp;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
    context_->evp.reset(EVP_MD_CTX_new());
    if (!context_->evp || EVP_DigestInit_ex(context_->evp.get(), EVP_sha256(), nullptr) != 1) {
        throw Error(Errc::internal, "OpenSSL offers no SHA-256");
    }
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
    if (EVP_DigestUpdate(context_->evp.get(), bytes.data(), bytes.size()) != 1) {
        throw Error(Errc::internal, "OpenSSL failed to hash");
    }
}

void Sha256::update(std::string_view bytes) {
    update(std::as_bytes(std::span(bytes)));
}

Sha256Hash Sha256::finish() {
    Sha256Hash hash{};
    if (EVP_DigestFinal_ex(context_->evp.get(), reinterpret_cast<unsigned char*>(hash.data()),
                           nullptr) != 1) {
        throw Error(Errc::internal, "OpenSSL failed to hash");
    }
    return hash;
}

Sha256Hash sha256(Source& source, const std::function<void(std::size_t)>& on_read) {
    Sha256 hash;
    std::vector<std::byte> buffer(kReadBytes);
    while (const std::size_t got = source.read(buffer)) {
        on_read(got);
        hash.update(std::span(buffer).first(got));
    }
    return hash.finish();
}

Sha256Hash sha256(std::string_view bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.finish();
}

std::string sha256_hex(std::string_view bytes) {
    return to_hex(sha256(bytes));
}

}  // namespace prebake
