#include "agent/identity/secrets/binary_formats.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/identity/secrets/values.h"

namespace prebake::identity::secrets {
namespace {

using std::size_t;
using std::string_view;

constexpr string_view kCompressed = "compressed, and not unpacked";
constexpr string_view kArchive = "an archive: what is compressed in it is not unpacked";
constexpr string_view kKeystore = "a keystore, and not opened";
constexpr string_view kCertificates = "a keystore in which no private key is visible";

constexpr string_view kDer = "private key (DER)";
constexpr string_view kPkcs12 = "private key (PKCS #12)";
constexpr string_view kJava = "private key (Java keystore)";
constexpr string_view kDropbear = "private key (Dropbear)";

struct Signature {
    string_view bytes;
    BinaryFormat format;
};
// A literal ends at its first NUL: those with one have their size.
constexpr Signature kSignatures[]{
    {"\x1f\x8b", {{}, kCompressed}},  // gzip in gzip
    {"BZh", {{}, kCompressed}},       // bzip2
    {{"\xfd"
      "7zXZ\0",
      6},
     {{}, kCompressed}},                        // xz
    {"\x28\xb5\x2f\xfd", {{}, kCompressed}},    // zstd
    {"\x04\x22\x4d\x18", {{}, kCompressed}},    // lz4
    {"\x02\x21\x4c\x18", {{}, kCompressed}},    // lz4, as in an initramfs
    {"PK\x03\x04", {{}, kCompressed}},          // zip, jar
    {"7z\xbc\xaf\x27\x1c", {{}, kCompressed}},  // 7-Zip
    {"hsqs", {{}, kCompressed}},                // squashfs
    {"070701", {{}, kArchive}},                 // cpio: an initramfs behind microcode
    {"\x03\xd9\xa2\x9a", {{}, kKeystore}},      // KeePass
    {{"\0\0\0\x07ssh-rsa", 11}, {kDropbear, {}}},
    {{"\0\0\0\x0bssh-ed25519", 15}, {kDropbear, {}}},
    {{"\0\0\0\x13"
      "ecdsa-sha2-nistp",
      20},
     {kDropbear, {}}},
};

constexpr unsigned char kInteger = 0x02;
constexpr unsigned char kOctets = 0x04;
constexpr unsigned char kOid = 0x06;
constexpr unsigned char kSequence = 0x30;

/// Contents of object identifiers.
constexpr string_view kPkcs5("\x2a\x86\x48\x86\xf7\x0d\x01\x05");
constexpr string_view kPkcs7("\x2a\x86\x48\x86\xf7\x0d\x01\x07");
constexpr string_view kPkcs12Encryption("\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01");
/// Of keyBag and pkcs8ShroudedKeyBag, without the last number.
constexpr string_view kKeyBags("\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01");

struct Element {
    unsigned char tag = 0;
    string_view content;
};

/// The elements of a text in DER (X.690). Nothing after the last one, and for what is not DER.
class Elements {
  public:
    explicit Elements(string_view text) : rest_(text) {}

    std::optional<Element> next() {
        if (rest_.size() < 2) return {};
        const auto byte = [this](size_t at) { return static_cast<unsigned char>(rest_[at]); };
        size_t length = byte(1);
        size_t header = 2;
        if (length >= 0x80) {
            constexpr size_t kMostDigits = 4;
            const size_t digits = length - 0x80;
            if (digits == 0 || digits > kMostDigits || rest_.size() < header + digits) return {};
            length = 0;
            for (; header < 2 + digits; ++header) length = length << 8U | byte(header);
        }
        if (length > rest_.size() - header) return {};
        const Element element{byte(0), rest_.substr(header, length)};
        rest_.remove_prefix(header + length);
        return element;
    }

    /// The content of the next element, if it has this tag.
    std::optional<string_view> next(unsigned char tag) {
        const auto element = next();
        if (!element || element->tag != tag) return {};
        return element->content;
    }

    bool is_at_end() const { return rest_.empty(); }

  private:
    string_view rest_;
};

/// RSA (PKCS #1): n, e, d, p, q and three more; DSA: p, q, g, y, x.
bool are_numbers_of_key(Elements numbers) {
    constexpr size_t kRsa = 8;
    constexpr size_t kDsa = 5;
    constexpr size_t kLeastBytes = 48;  // of the first one: shorter keys are broken in minutes
    std::vector<size_t> sizes;
    while (sizes.size() < kRsa && !numbers.is_at_end()) {
        const auto number = numbers.next(kInteger);
        if (!number || number->empty()) return false;
        if (sizes.empty() && !is_varied(*number)) return false;
        sizes.push_back(number->size());
    }
    if (sizes.empty() || sizes[0] < kLeastBytes) return false;
    if (sizes.size() == kRsa) return sizes[3] > sizes[0] / 4 && sizes[4] > sizes[0] / 4;
    return sizes.size() == kDsa;
}

/// PKCS #8: an algorithm, then the key.
bool is_pkcs8(Elements key) {
    constexpr size_t kLeastBytes = 16;
    const auto algorithm = key.next(kSequence);
    if (!algorithm || !Elements(*algorithm).next(kOid)) return false;
    const auto octets = key.next(kOctets);
    return octets && octets->size() >= kLeastBytes;
}

/// Encrypted PKCS #8: an algorithm that encrypts with a password, then the key.
bool is_encrypted_pkcs8(string_view algorithm, Elements behind) {
    const auto oid = Elements(algorithm).next(kOid);
    if (!oid || !(oid->starts_with(kPkcs5) || oid->starts_with(kPkcs12Encryption))) return false;
    return behind.next(kOctets).has_value() && behind.is_at_end();
}

/// SEC 1: the number, then parameters and the public key, which may be missing.
bool is_sec1(Elements key) {
    constexpr size_t kLeastBytes = 20;
    constexpr size_t kMostBytes = 66;
    const auto number = key.next(kOctets);
    if (!number || number->size() < kLeastBytes || number->size() > kMostBytes) return false;
    while (const auto element = key.next()) {
        if (element->tag != 0xa0 && element->tag != 0xa1) return false;
    }
    return is_varied(*number) && key.is_at_end();
}

bool is_der_key(string_view text) {
    const auto whole = Elements(text).next(kSequence);
    if (!whole) return false;
    Elements elements(*whole);
    const auto first = elements.next();
    if (!first) return false;
    if (first->tag == kSequence) return is_encrypted_pkcs8(first->content, elements);
    if (first->tag != kInteger || first->content.size() != 1) return false;
    switch (first->content.front()) {
        case 0:
            return are_numbers_of_key(elements) || is_pkcs8(elements);
        case 1:  // RSA with three primes, PKCS #8 with a public key, SEC 1
            return are_numbers_of_key(elements) || is_pkcs8(elements) || is_sec1(elements);
        default:
            return false;
    }
}

/// What follows the head of a sequence at the beginning of `text`, which may be longer than `text`,
/// or without a length (BER, as some programs write PKCS #12).
string_view inside_sequence(string_view text) {
    if (text.size() < 2 || static_cast<unsigned char>(text[0]) != kSequence) return {};
    const auto length = static_cast<unsigned char>(text[1]);
    const size_t header = length <= 0x80 ? 2 : 2 + size_t{length} - 0x80;
    constexpr size_t kLongestHeader = 6;
    return header > kLongestHeader || header > text.size() ? string_view() : text.substr(header);
}

/// Version 3, then a sequence that starts with a type of PKCS #7.
bool is_pkcs12(string_view text) {
    string_view inside = inside_sequence(text);
    if (!inside.starts_with("\x02\x01\x03")) return false;
    inside = inside_sequence(inside.substr(3));
    return inside.starts_with("\x06\x09") && inside.substr(2).starts_with(kPkcs7);
}

/// Keys are encrypted one by one, so that their bags are visible. What is encrypted as a whole are
/// certificates: OpenSSL, Java, NSS and Windows write it so.
bool has_key_bag(string_view pkcs12) {
    for (size_t at = pkcs12.find(kKeyBags); at != string_view::npos;
         at = pkcs12.find(kKeyBags, at + 1)) {
        const char bag = byte_at(pkcs12, at + kKeyBags.size());
        if (bag == 1 || bag == 2) return true;
    }
    return false;
}

std::uint32_t number_at(string_view text, size_t at, size_t bytes) {
    std::uint32_t number = 0;
    for (size_t i = 0; i < bytes; ++i)
        number = number << 8U | static_cast<unsigned char>(byte_at(text, at + i));
    return number;
}

/// True if all entries of the keystore are certificates of others
/// (sun.security.provider.JavaKeyStore: magic, version, number of entries; of each its type, name,
/// date, and type and bytes of the certificate).
bool are_all_certificates(string_view store) {
    constexpr std::uint32_t kCertificate = 2;
    const std::uint32_t version = number_at(store, 4, 4);
    const std::uint32_t entries = number_at(store, 8, 4);
    size_t at = 12;
    for (std::uint32_t entry = 0; entry < entries; ++entry) {
        if (number_at(store, at, 4) != kCertificate) return false;
        at += 4;
        at += 2 + number_at(store, at, 2) + 8;
        if (version == 2) at += 2 + number_at(store, at, 2);
        at += 4 + size_t{number_at(store, at, 4)};
        if (at > store.size()) return false;
    }
    return version == 1 || version == 2;
}

}  // namespace

BinaryFormat binary_format(std::string_view beginning) {
    for (const Signature& signature : kSignatures) {
        if (beginning.starts_with(signature.bytes)) return signature.format;
    }
    if (beginning.starts_with("\xfe\xed\xfe\xed") || beginning.starts_with("\xce\xce\xce\xce")) {
        if (are_all_certificates(beginning)) return {{}, kCertificates};
        return {kJava, {}};
    }
    if (is_pkcs12(beginning)) {
        if (has_key_bag(beginning)) return {kPkcs12, {}};
        return {{}, kCertificates};
    }
    return {is_der_key(beginning) ? kDer : string_view(), {}};
}

}  // namespace prebake::identity::secrets
