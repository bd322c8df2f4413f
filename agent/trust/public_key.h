#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace prebake::trust {

/// A public key that signatures are checked with: ECDSA on P-256 or P-384, RSA of at least 2048
/// bits, or Ed25519. A copy shares the key. Thread-safe.
class PublicKey {
  public:
    /// `pem` is the content of `file`, which messages name: one key as "PUBLIC KEY"
    /// (SubjectPublicKeyInfo) or "RSA PUBLIC KEY" (PKCS #1).
    /// @throws Error usage that says what the file holds instead, and how to get the public key.
    static PublicKey parse(std::string_view pem, const std::string& file);

    const std::string& file() const { return file_; }
    /// "sha256:" and 64 hex digits, of the key's DER form (SubjectPublicKeyInfo). The key's hint in
    /// a Sigstore bundle is the same hash in base64.
    const std::string& fingerprint() const { return fingerprint_; }
    /// "ECDSA P-256"
    const std::string& kind() const { return kind_; }
    /// What this machine's OpenSSL cannot check with the key; empty: nothing.
    std::string limitation() const;

    /// Whether `signature` was made with the key's private half over `message`, in one of the ways
    /// that Sigstore's clients sign:
    ///   ECDSA P-256   SHA-256
    ///   ECDSA P-384   SHA-384; SHA-256 (cosign before 3.0)
    ///   RSA           SHA-256 with PKCS #1 v1.5 or PSS
    ///   Ed25519       pure; Ed25519ph (cosign 3), with OpenSSL 3.2 or later
    /// An ECDSA signature may be in DER or two numbers of fixed size (IEEE P1363).
    bool verifies(std::string_view message, std::string_view signature) const;

  private:
    struct Key;
    PublicKey(std::shared_ptr<const Key> key, std::string file);

    std::shared_ptr<const Key> key_;
    std::string file_;
    std::string kind_;
    std::string fingerprint_;
};

}  // namespace prebake::trust
