#include "agent/identity/secrets/binary_formats.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/identity/secrets/planted_files.h"

namespace prebake::identity::secrets::binary_formats_test {

using tests::der;
using tests::der_number;
using tests::der_oid;
using tests::der_version;
using tests::key_bytes;

constexpr std::string_view kJks = "\xfe\xed\xfe\xed";
constexpr std::string_view kJceks = "\xce\xce\xce\xce";

TEST_CASE("keys that are not text are recognized by their structure") {
    struct Row {
        std::string name;
        std::string bytes;
        std::string key;  // "" if it is none
    };
    const std::string der_key = "private key (DER)";
    const std::string algorithm = der(0x30, der_oid("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"));
    const std::string dsa = der_version(0) + der_number(key_bytes(256)) +
                            der_number(key_bytes(32)) + der_number(key_bytes(256)) +
                            der_number(key_bytes(256)) + der_number(key_bytes(32));
    const std::string ed25519 = der(0x30, der_version(0) + der(0x30, der_oid("\x2b\x65\x70")) +
                                              der(0x04, der(0x04, key_bytes(32))));
    const std::string endless = std::string("\x30\x80\x02\x01\x03\x30\x80", 7) +
                                tests::pkcs12(2).substr(tests::pkcs12(2).find("\x06\x09\x2a"));
    const std::vector<Row> rows{
        {"RSA", tests::rsa_der(), der_key},
        {"RSA of 512 bits", tests::rsa_der(64), der_key},
        {"RSA of 8192 bits, and a newline", tests::rsa_der(1024) + "\n", der_key},
        {"DSA", der(0x30, dsa), der_key},
        {"PKCS #8", tests::pkcs8_der(), der_key},
        {"PKCS #8, EC", tests::pkcs8_der(tests::sec1_der()), der_key},
        {"PKCS #8, Ed25519", ed25519, der_key},
        {"PKCS #8, encrypted", tests::encrypted_pkcs8_der(), der_key},
        {"SEC 1", tests::sec1_der(), der_key},
        {"SEC 1, the number alone", tests::sec1_der(false), der_key},
        {"PKCS #12", tests::pkcs12(2), "private key (PKCS #12)"},
        {"PKCS #12, key without a password", tests::pkcs12(1), "private key (PKCS #12)"},
        {"PKCS #12, without lengths", endless, "private key (PKCS #12)"},
        {"JKS", tests::java_keystore(kJks, "\2\1"), "private key (Java keystore)"},
        {"JCEKS, a secret key", tests::java_keystore(kJceks, "\3"), "private key (Java keystore)"},
        {"JKS that is not understood", std::string(kJks) + key_bytes(8),
         "private key (Java keystore)"},
        {"JKS, the magic number alone", std::string(kJks), "private key (Java keystore)"},
        {"Dropbear", std::string("\0\0\0\x0bssh-ed25519\0\0\0\x40", 19) + key_bytes(64),
         "private key (Dropbear)"},

        {"RSA, cut", tests::rsa_der().substr(0, 600), ""},
        {"RSA, too short to be one", tests::rsa_der(16), ""},
        {"RSA, a public key (PKCS #1)",
         der(0x30, der_number(key_bytes(256)) + der_number("\x01\x01")), ""},
        {"a number of zeros", der(0x30, der_version(0) + der_number(std::string(256, 'A'))), ""},
        {"two numbers", der(0x30, der_version(0) + der_number(key_bytes(256))), ""},
        {"DSA with another element", der(0x30, dsa + der(0x05, "")), ""},
        {"public key", der(0x30, algorithm + der(0x03, key_bytes(270))), ""},
        {"certificate",
         der(0x30, der(0x30, der(0xa0, der_version(2)) + der_number("1")) + algorithm +
                       der(0x03, key_bytes(256))),
         ""},
        {"digest (DigestInfo)",
         der(0x30, der(0x30, der_oid("\x60\x86\x48\x01\x65\x03\x04\x02\x01") + der(0x05, "")) +
                       der(0x04, key_bytes(32))),
         ""},
        {"time stamp request",
         der(0x30, der_version(1) + der(0x30, algorithm + der(0x04, key_bytes(32)))), ""},
        {"SNMP message", der(0x30, der_version(1) + der(0x04, "public") + der(0xa0, key_bytes(30))),
         ""},
        {"SEC 1 with a strange element",
         der(0x30, der_version(1) + der(0x04, key_bytes(32)) + der(0x05, "")), ""},
        {"SEC 1 without a value", der(0x30, der_version(1) + der(0x04, std::string(32, 'x'))), ""},
        {"signed data (PKCS #7)",
         der(0x30, der_oid("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02") + der(0xa0, key_bytes(900))),
         ""},
        {"PKCS #12 with certificates", tests::pkcs12(3), ""},
        {"JKS with certificates", tests::java_keystore(kJks, "\2\2\2"), ""},
        {"empty sequence", der(0x30, ""), ""},
        {"length of a length", "\x30\xff", ""},
        {"length without bytes", "\x30\x84\xff", ""},
        {"one byte", "0", ""},
        {"text", "0123456789", ""},
        {"nothing", "", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(std::string(binary_format(row.bytes).key) == row.key);
        // No beginning makes it read outside; ASan watches.
        for (std::size_t size = 0; size < row.bytes.size(); size += 1 + size / 16)
            binary_format(std::string_view(row.bytes).substr(0, size));
    }
}

TEST_CASE("what is not opened is named") {
    using namespace std::string_literals;
    struct Row {
        std::string bytes;
        std::string_view part;
    };
    const std::vector<Row> rows{
        {"BZh91AY", "compressed"},
        {"\xfd"
         "7zXZ\0\0"s,
         "compressed"},
        {"\x28\xb5\x2f\xfd\x04"s, "compressed"},
        {"PK\x03\x04"s, "compressed"},
        {"070701000002", "archive"},
        {"\x03\xd9\xa2\x9a", "keystore"},
        {tests::pkcs12(3), "no private key is visible"},
        {tests::java_keystore(kJks, "\2\2"), "no private key is visible"},
        {tests::java_keystore(kJks, "\1"), ""},
        {"text", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.bytes);
        const std::string_view reason = binary_format(row.bytes).not_opened;
        CHECK(reason.empty() == row.part.empty());
        CHECK(reason.find(row.part) != std::string_view::npos);
    }
}

}  // namespace prebake::identity::secrets::binary_formats_test
