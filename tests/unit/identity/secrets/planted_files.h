#pragma once

#include <zlib.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/unit/identity/secrets/planted_secrets.h"

namespace prebake::tests {

// Files that are not plain text, made by hand.

/// An element of DER (X.690).
inline std::string der(int tag, std::string_view content) {
    std::string length;
    for (std::size_t rest = content.size(); rest > 0; rest >>= 8U)
        length.insert(0, 1, static_cast<char>(rest & 0xffU));
    std::string text(1, static_cast<char>(tag));
    if (content.size() >= 0x80) text += static_cast<char>(0x80U | length.size());
    if (length.empty()) length.assign(1, '\0');
    return text + length + std::string(content);
}

/// Bytes that are as varied as those of a key, and positive as a number.
inline std::string key_bytes(std::size_t size, std::uint32_t seed = 1) {
    return noise(size, kAlphanumeric, seed);
}

inline std::string der_number(std::string_view bytes) {
    return der(0x02, bytes);
}
inline std::string der_version(char version) {
    return der(0x02, std::string(1, version));
}
inline std::string der_oid(std::string_view bytes) {
    return der(0x06, bytes);
}

inline std::string rsa_der(std::size_t bytes = 256) {
    std::string numbers = der_version(0) + der_number(key_bytes(bytes)) +
                          der_number(std::string("\x01\x00\x01", 3)) +
                          der_number(key_bytes(bytes, 2));
    for (std::uint32_t seed = 3; seed < 8; ++seed)
        numbers += der_number(key_bytes(bytes / 2, seed));
    return der(0x30, numbers);
}

inline std::string pkcs8_der(std::string_view key = rsa_der()) {
    const std::string rsa = der_oid("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01") + der(0x05, "");
    return der(0x30, der_version(0) + der(0x30, rsa) + der(0x04, key));
}

inline std::string encrypted_pkcs8_der() {
    const std::string pbes2 =
        der_oid("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d") + der(0x30, key_bytes(60));
    return der(0x30, der(0x30, pbes2) + der(0x04, key_bytes(1232)));
}

/// With the number of the curve and the public key, or without.
inline std::string sec1_der(bool is_whole = true) {
    std::string key = der_version(1) + der(0x04, key_bytes(32));
    if (is_whole) {
        key += der(0xa0, der_oid("\x2a\x86\x48\xce\x3d\x03\x01\x07"));
        key += der(0xa1, der(0x03, '\0' + key_bytes(65)));
    }
    return der(0x30, key);
}

/// PKCS #12 with one bag: 1 or 2 hold a key, 3 a certificate.
inline std::string pkcs12(char bag) {
    const std::string type = "\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01" + std::string(1, bag);
    const std::string bags = der(0x30, der(0x30, der_oid(type) + der(0xa0, key_bytes(1500))));
    const std::string data = der_oid("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01");
    return der(0x30, der_version(3) + der(0x30, data + der(0xa0, der(0x04, bags))) +
                         der(0x30, key_bytes(60)));
}

inline std::string big_endian(std::size_t number, int bytes) {
    std::string text;
    for (int at = bytes - 1; at >= 0; --at)
        text += static_cast<char>(number >> static_cast<unsigned>(8 * at) & 0xffU);
    return text;
}

/// A Java keystore with entries of these types: 1 is a key, 2 a certificate.
inline std::string java_keystore(std::string_view magic, std::string_view types) {
    std::string store = std::string(magic) + big_endian(2, 4) + big_endian(types.size(), 4);
    for (const char type : types) {
        store += big_endian(static_cast<std::size_t>(type), 4) + big_endian(4, 2) + "name";
        store += big_endian(1, 8);
        if (type == 2) store += big_endian(5, 2) + "X.509";
        store += big_endian(700, 4) + key_bytes(700);
    }
    return store + key_bytes(20);
}

inline std::string gzipped(std::string_view text) {
    z_stream stream{};
    constexpr int kGzip = 15 + 16;
    if (deflateInit2(&stream, 9, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        throw std::runtime_error("deflateInit2");
    std::string packed(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    const int result = deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    if (result != Z_STREAM_END) throw std::runtime_error("deflate");
    return packed;
}

/// ASCII in UTF-16, little endian, or big endian.
inline std::string utf16(std::string_view ascii, bool is_big = false) {
    std::string text;
    for (const char c : ascii) {
        if (is_big) text += '\0';
        text += c;
        if (!is_big) text += '\0';
    }
    return text;
}

}  // namespace prebake::tests
