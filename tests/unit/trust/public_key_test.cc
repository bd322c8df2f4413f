#include "agent/trust/public_key.h"

#include <doctest/doctest.h>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/base/sha256.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/trust/signing_key.h"

namespace prebake::trust {
namespace {

using test::SigningKey;
using tests::contains;
using tests::thrown_by;

constexpr std::string_view kSignedMessage = "what is signed";

TEST_CASE("keys of the kinds that signers use verify what they signed, and nothing else") {
    struct Row {
        std::string kind;
        SigningKey key;
        std::vector<std::vector<std::string>> ways;  ///< empty list: pure
    };
    const std::vector<std::string> pss{"-sha256", "-sigopt", "rsa_padding_mode:pss"};
    std::vector<Row> rows;
    rows.push_back({"ECDSA P-256", SigningKey::on_curve("P-256"), {{"-sha256"}}});
    rows.push_back({"ECDSA P-384", SigningKey::on_curve("P-384"), {{"-sha384"}, {"-sha256"}}});
    rows.push_back({"RSA 2048", SigningKey::rsa(2048), {{"-sha256"}, pss}});
    rows.push_back({"Ed25519", SigningKey::ed25519(), {{}}});
    for (const Row& row : rows) {
        CAPTURE(row.kind);
        const PublicKey key = row.key.public_key("dir/test.pub");
        CHECK(key.kind() == row.kind);
        CHECK(key.file() == "dir/test.pub");
        for (const auto& way : row.ways) {
            const std::string signature =
                way.empty() ? row.key.sign_pure(kSignedMessage) : row.key.sign(kSignedMessage, way);
            CHECK(key.verifies(kSignedMessage, signature));
            CHECK_FALSE(key.verifies("what is signed.", signature));
            CHECK_FALSE(key.verifies("", signature));
            for (const std::size_t at :
                 {std::size_t{0}, signature.size() / 2, signature.size() - 1}) {
                std::string other = signature;
                other[at] = static_cast<char>(other[at] ^ 1);
                CHECK_FALSE(key.verifies(kSignedMessage, other));
            }
            CHECK_FALSE(key.verifies(kSignedMessage, signature + '\0'));
            CHECK_FALSE(key.verifies(kSignedMessage, signature.substr(1)));
        }
        CHECK_FALSE(key.verifies(kSignedMessage, ""));
        CHECK_FALSE(key.verifies("", ""));
    }
    // Another key, and another kind.
    const std::string signature = rows[0].key.sign(kSignedMessage);
    CHECK_FALSE(SigningKey::on_curve("P-256").public_key().verifies(kSignedMessage, signature));
    CHECK_FALSE(rows[3].key.public_key().verifies(kSignedMessage, signature));
    // A digest that nobody signs with.
    CHECK_FALSE(rows[0].key.public_key().verifies(kSignedMessage,
                                                  rows[0].key.sign(kSignedMessage, {"-sha1"})));
    CHECK_FALSE(rows[2].key.public_key().verifies(kSignedMessage,
                                                  rows[2].key.sign(kSignedMessage, {"-sha1"})));
}

TEST_CASE("an ECDSA signature may be two numbers of fixed size") {
    const SigningKey key = SigningKey::on_curve("P-256");
    const std::string der = key.sign(kSignedMessage);
    // SEQUENCE { INTEGER r, INTEGER s }, each with up to one byte more and fewer bytes than 32.
    const auto number_at = [&](std::size_t at) {
        const auto size = static_cast<std::size_t>(der[at + 1]);
        std::string number = der.substr(at + 2, size);
        if (number.size() > 32) number.erase(0, number.size() - 32);
        return std::string(32 - number.size(), '\0') + number;
    };
    const std::size_t second = 4 + static_cast<std::size_t>(der[3]);
    const std::string pair = number_at(2) + number_at(second);
    REQUIRE(pair.size() == 64);
    CHECK(key.public_key().verifies(kSignedMessage, pair));
    CHECK_FALSE(key.public_key().verifies("other", pair));
    CHECK_FALSE(key.public_key().verifies(kSignedMessage, pair.substr(0, 63)));
    CHECK_FALSE(key.public_key().verifies(kSignedMessage, std::string(64, '\0')));
    CHECK_FALSE(key.public_key().verifies(kSignedMessage, std::string(64, '\xff')));
}

TEST_CASE("an RSA signature is exactly as long as the modulus") {
    // Made by openssl(1) with PSS until the first byte was zero: one of 256 is so.
    const PublicKey key = PublicKey::parse(
        "-----BEGIN PUBLIC KEY-----\n"
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAscYVqCOJnbcfFj6BLZb0\n"
        "VY4rGidAsp1vvwl3hFmyK6o30Bs+cct9jdUUJETXCh0LP7EnuMZCURewqC1oa3hv\n"
        "3hrJ0IUyFNIx/jj1aydt/dchj+IGke+zkDSxUpYzxbs6ZEV7M2afxkGscGqMqJhH\n"
        "VumiVpOAg5nuFVL8JQjKxoAimYOetO9CfLd8owbEy4yUv8zlYwPRFb9U6FvRiY78\n"
        "CalN2dWsBzDbCy0NBPj4sNY+9F8iDmSc7NDF1+Td0KInll3eTaLdAN5DwRY3khoz\n"
        "zUOOfNY2MgVgbJmXkidb9OwnL1T0zFN2XMx2kpK/soeQsH2PyMqNguFQbonEYQwu\n"
        "tQIDAQAB\n"
        "-----END PUBLIC KEY-----\n",
        "fixed.pub");
    const auto signature = base64_decode(
        "AJ6mBXtnwr2ZAW/VYQeHlBjnT4obvyu0IPTKJr1Qn7h6sm036Rigud88IA0JwiCr"
        "ZhSgikoc7WVstGB/OPvsDsRPsc8Y/YlCBpv03vG9bCadM/4JzeZYTSry/Iut238U"
        "1c2TZAyZO+njW5I0w5ZJVZnhw0jml1YpsqMAWYOwVxm9LEAL/qErK4pAadAAKrjn"
        "UHCP5x7kQH4G80p9mkJutLdQshIIxpFjNIemG2BEgiCfxts4EKXhvJMbQWkWAD/Y"
        "3d7mq2dp/SNma1vOKprUB07Vot1gJyaNMPBco4z6gCVSibmaGzPc5jIqCF5vw5bi"
        "MhapCGDpx9CViwDw5m4LqQ==");
    REQUIRE(signature);
    REQUIRE(signature->front() == '\0');
    CHECK(key.verifies(kSignedMessage, *signature));
    CHECK_FALSE(key.verifies(kSignedMessage, signature->substr(1)));
    CHECK_FALSE(key.verifies(kSignedMessage, '\0' + *signature));
}

TEST_CASE("a fingerprint is the hash of the key's DER form") {
    const SigningKey key = SigningKey::on_curve("P-256");
    const std::string der = run_or_throw(
        {.arguments = {"openssl", "pkey", "-pubin", "-in", key.public_file(), "-outform", "DER"}},
        {});
    CHECK(key.public_key().fingerprint() == "sha256:" + sha256_hex(der));
}

TEST_CASE("an RSA key may be in PKCS #1 form, and has the same fingerprint") {
    const SigningKey key = SigningKey::rsa(2048);
    const std::string pem = run_or_throw(
        {.arguments = {"openssl", "rsa", "-pubin", "-in", key.public_file(), "-RSAPublicKey_out"},
         .separates_errors = true},
        {});
    REQUIRE(contains(pem, "BEGIN RSA PUBLIC KEY"));
    CHECK(PublicKey::parse(pem, "x").fingerprint() == key.public_key().fingerprint());
}

TEST_CASE("what is no usable public key is refused with its reason and the way out") {
    const SigningKey usual = SigningKey::on_curve("P-256");
    const auto pem_of = [](const std::string& label, const std::string& body) {
        return "-----BEGIN " + label + "-----\n" + body + "\n-----END " + label + "-----\n";
    };
    const auto private_pem =
        run_or_throw({.arguments = {"openssl", "pkey", "-in", usual.private_file()}}, {});
    struct Row {
        std::string name;
        std::string pem;
        std::string reason;
        std::string step;
    };
    const std::vector<Row> rows = {
        {"nothing", "", "no public key in PEM form", "BEGIN PUBLIC KEY"},
        {"text", "hello\n", "no public key in PEM form", "BEGIN PUBLIC KEY"},
        {"private key", private_pem, "is a private key", "openssl pkey"},
        {"both", usual.public_pem() + private_pem, "is a private key", "remove it"},
        {"cosign's private key", pem_of("ENCRYPTED SIGSTORE PRIVATE KEY", "AAAA"),
         "is a private key", "cosign public-key"},
        {"SSH's private key, which is no PEM", "-----BEGIN OPENSSH PRIVATE KEY-----\n!",
         "is a private key", "remove it"},
        {"certificate", pem_of("CERTIFICATE", "AAAA"), "is a certificate", "openssl x509"},
        {"SSH", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@host\n", "of SSH", "ssh-keygen -e"},
        {"something else", pem_of("X509 CRL", "AAAA"), "holds \"X509 CRL\"", "BEGIN PUBLIC KEY"},
        {"damaged", pem_of("PUBLIC KEY", "AAAA"), "damaged public key", "P-256"},
        {"damaged base64", pem_of("PUBLIC KEY", "A*A"), "no public key", "BEGIN PUBLIC KEY"},
        {"two", usual.public_pem() + usual.public_pem(), "2 public keys", "file of its own"},
        {"another curve", SigningKey::on_curve("secp256k1").public_pem(), "curve secp256k1",
         "P-256 or P-384"},
        {"P-521", SigningKey::on_curve("P-521").public_pem(), "curve secp521r1", "P-256 or P-384"},
        {"short RSA", SigningKey::rsa(1024).public_pem(), "RSA key of 1024 bits", "2048"},
        {"another type", SigningKey({"-algorithm", "X25519"}).public_pem(), "type X25519",
         "P-256 or P-384"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const Error error = thrown_by([&] { PublicKey::parse(row.pem, "k.pem"); });
        CHECK(error.code() == Errc::usage);
        CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
        CHECK_MESSAGE(contains(error.next_step(), row.step), error.next_step());
        CHECK_MESSAGE(error.message().starts_with("k.pem "), error.message());
        CHECK_MESSAGE(!contains(error.what(), "AAAA"), "the file's content is shown");
    }
}

}  // namespace
}  // namespace prebake::trust
