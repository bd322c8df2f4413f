#pragma once

#include <string_view>

namespace prebake::identity::secrets {

/// What a file is, by its first bytes.
struct BinaryFormat {
    std::string_view key;         ///< the kind of secret that the file is; or empty
    std::string_view not_opened;  ///< why secrets in it are not found; or empty
};

/// Recognizes keys that are not text, by their whole structure: private keys in DER (PKCS #1 of
/// RFC 8017, PKCS #8 and encrypted PKCS #8 of RFC 5958, SEC 1 of RFC 5915, and DSA as OpenSSL
/// writes it), keystores with a private key (PKCS #12 of RFC 7292, Java's JKS and JCEKS), and
/// Dropbear's keys. A keystore with nothing but certificates of others is no secret. Also what
/// would have to be unpacked. Both are empty for everything else. Pure; reads no more than
/// `beginning`.
BinaryFormat binary_format(std::string_view beginning);

}  // namespace prebake::identity::secrets
