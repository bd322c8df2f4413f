#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/base64.h"
#include "agent/base/process.h"
#include "agent/trust/public_key.h"
#include "tests/unit/temporary_directory.h"

/// Signatures as signers write them, made by openssl(1) after the written formats: by another
/// program than the one that checks them.
namespace prebake::trust::test {

/// A key pair in files, which copies share.
class SigningKey {
  public:
    /// The arguments of "openssl genpkey".
    explicit SigningKey(const std::vector<std::string>& kind) {
        std::vector<std::string> arguments{"openssl", "genpkey", "-out", private_file()};
        arguments.insert(arguments.end(), kind.begin(), kind.end());
        run_or_throw({.arguments = arguments}, {});
        run_or_throw({.arguments = {"openssl", "pkey", "-in", private_file(), "-pubout", "-out",
                                    public_file()}},
                     {});
    }

    static SigningKey on_curve(const std::string& curve) {
        return SigningKey({"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + curve});
    }
    static SigningKey rsa(int bits) {
        return SigningKey(
            {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:" + std::to_string(bits)});
    }
    static SigningKey ed25519() { return SigningKey({"-algorithm", "ED25519"}); }

    std::string private_file() const { return directory_->path() / "private.pem"; }
    std::string public_file() const { return directory_->path() / "public.pem"; }
    std::string public_pem() const { return content_of(public_file()); }
    PublicKey public_key(const std::string& name = "test.pub") const {
        return PublicKey::parse(public_pem(), name);
    }

    /// With options of "openssl dgst", such as -sha256.
    std::string sign(std::string_view message,
                     const std::vector<std::string>& options = {"-sha256"}) const {
        std::vector<std::string> arguments{"openssl", "dgst", "-sign", private_file()};
        arguments.insert(arguments.end(), options.begin(), options.end());
        return run_with(std::move(arguments), message);
    }
    /// Without a digest of the message, as Ed25519 does it.
    std::string sign_pure(std::string_view message) const {
        return run_with({"openssl", "pkeyutl", "-sign", "-rawin", "-inkey", private_file(), "-in"},
                        message);
    }

  private:
    static std::string content_of(const std::filesystem::path& file) {
        std::ifstream stream(file, std::ios::binary);
        return {std::istreambuf_iterator<char>(stream), {}};
    }

    /// The last argument is a file with the message.
    std::string run_with(std::vector<std::string> arguments, std::string_view message) const {
        const auto file = directory_->path() / "message";
        std::ofstream(file, std::ios::binary) << message;
        arguments.push_back(file);
        return run_or_throw({.arguments = std::move(arguments), .separates_errors = true}, {});
    }

    std::shared_ptr<const TemporaryDirectory> directory_ = std::make_shared<TemporaryDirectory>();
};

inline std::string simple_signing_payload(const std::string& digest) {
    return R"({"critical":{"identity":{"docker-reference":"reg.example/app"},)"
           R"("image":{"docker-manifest-digest":")" +
           digest + R"("},"type":"cosign container image signature"},"optional":null})";
}

inline std::string sign_statement(const std::string& hex) {
    return R"({"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":")" + hex +
           R"("}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}})";
}

/// DSSE's pre-authentication encoding of an in-toto statement.
inline std::string encoding_of(const std::string& statement) {
    return "DSSEv1 28 application/vnd.in-toto+json " + std::to_string(statement.size()) + " " +
           statement;
}

/// A bundle as cosign 3 writes it, with the key's hint.
inline std::string bundle_with(const std::string& statement, const std::string& signature) {
    return R"({"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",)"
           R"("verificationMaterial":{"publicKey":{"hint":"aGludA=="}},)"
           R"("dsseEnvelope":{"payload":")" +
           base64_encode(statement) +
           R"(","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":")" +
           base64_encode(signature) + R"("}]}})";
}

}  // namespace prebake::trust::test
