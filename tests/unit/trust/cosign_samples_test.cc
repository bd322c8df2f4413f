#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/trust/public_key.h"
#include "agent/trust/signature.h"

namespace prebake::trust {
namespace {

/// What cosign 3.1.1 of Debian wrote with one key: "cosign sign --key" with and without
/// --new-bundle-format=false.
struct CosignSample {
    std::string kind;
    std::string key;
    std::string annotation;  ///< the signature of kCosignPayload
    std::string bundle;
};

const std::string kCosignDigest =
    "sha256:766cd254dd87e9157e4135e68bba424f7600cebb5393a59085476b6f065416db";
const std::string kCosignPayload =
    R"({"critical":{"identity":{"docker-reference":"127.0.0.1:35999/app"},"image":{"doc)"
    R"(ker-manifest-digest":"sha256:766cd254dd87e9157e4135e68bba424f7600cebb5393a590854)"
    R"(76b6f065416db"},"type":"cosign container image signature"},"optional":null})";

const std::vector<CosignSample> kCosignSamples = {
    {.kind = "ECDSA P-256",
     .key = "-----BEGIN PUBLIC KEY-----\n"
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEenRszlUkRIJiQ7wwek4fVtZkkQBK\n"
            "eUNGSG+nVp2fYV6LTynB231QU+TkXt71IGDUMR3OfPNVY8HAsjMujrylgA==\n"
            "-----END PUBLIC KEY-----\n",
     .annotation = R"(MEYCIQCytLcaIuJxVHY/CO0Pu/nDIa63ckp6CSV1+PLhtCKpqwIhAMYVBTWC+JTTL)"
                   R"(iOxqQvpFfzzlEH3/XvspLRYA9hEjgs1)",
     .bundle = R"({"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verific)"
               R"(ationMaterial":{"publicKey":{"hint":"0o0B9QowrbpOjOvAfvMzvU/YZ+d8J9L+)"
               R"(ywVKla49ypg="}},"dsseEnvelope":{"payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW)"
               R"(4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJkaWdlc3QiOnsic2hhMjU)"
               R"(2IjoiNzY2Y2QyNTRkZDg3ZTkxNTdlNDEzNWU2OGJiYTQyNGY3NjAwY2ViYjUzOTNhNTkw)"
               R"(ODU0NzZiNmYwNjU0MTZkYiJ9LCJhbm5vdGF0aW9ucyI6e319XSwicHJlZGljYXRlVHlwZ)"
               R"(SI6Imh0dHBzOi8vc2lnc3RvcmUuZGV2L2Nvc2lnbi9zaWduL3YxIiwicHJlZGljYXRlIj)"
               R"(p7fX0=","payloadType":"application/vnd.in-toto+json","signatures":[{")"
               R"(sig":"MEUCIH6epsZ6xp2ib1otbJmDLMVlPI+Xg3n48OeVqyMKraD8AiEAvV3V9NDWJi9)"
               R"(9Jk3hnE1scjYtX5I+mPIEN2iMfny4yyU="}]}})"},
    {.kind = "Ed25519",
     .key = "-----BEGIN PUBLIC KEY-----\n"
            "MCowBQYDK2VwAyEAiacKG1vfFm0fw/JuHOObePW7B966YbAWTvsvRHOp3Uw=\n"
            "-----END PUBLIC KEY-----\n",
     .annotation = R"(dRVTwnuYHt4Bu6Iw3yGmwQDKTGY63RQuh1cjXft3W8pfcSxglf7qq8owPyzRvxyXl)"
                   R"(vCx0msMrpKmBQP0mSlUCg==)",
     .bundle = R"({"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verific)"
               R"(ationMaterial":{"publicKey":{"hint":"MET6VNCNBs/AeZZ7mUucQyzuVrQZsPut)"
               R"(sHKaF9UBk+I="}},"dsseEnvelope":{"payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW)"
               R"(4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJkaWdlc3QiOnsic2hhMjU)"
               R"(2IjoiNzY2Y2QyNTRkZDg3ZTkxNTdlNDEzNWU2OGJiYTQyNGY3NjAwY2ViYjUzOTNhNTkw)"
               R"(ODU0NzZiNmYwNjU0MTZkYiJ9LCJhbm5vdGF0aW9ucyI6e319XSwicHJlZGljYXRlVHlwZ)"
               R"(SI6Imh0dHBzOi8vc2lnc3RvcmUuZGV2L2Nvc2lnbi9zaWduL3YxIiwicHJlZGljYXRlIj)"
               R"(p7fX0=","payloadType":"application/vnd.in-toto+json","signatures":[{")"
               R"(sig":"uUDjYv1bv2K6XWneEXdJrInFXpScOThrDoova4bUGo/Y2aWvlXyttzH7P2fOF4a)"
               R"(Hk7pzoMgjEVO5puAs94W9Ag=="}]}})"},
    {.kind = "ECDSA P-384",
     .key = "-----BEGIN PUBLIC KEY-----\n"
            "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAERz94w7HFbFpesKmSuSVyk46pE2NPGW/E\n"
            "svCHRWPCPqNaJizVYZU86WUXMhzJMuAwq2Z04o61gcrVykUa0P+jKObLo3tIrAuX\n"
            "WX76atwptNCsN1dVX3uy3YyN/8dU81gH\n"
            "-----END PUBLIC KEY-----\n",
     .annotation = R"(MGYCMQD07nnQ0yq4J5+/NsGvAABDyiw9p06ik7b7sUV4Zv+ydyAuWJc/aep4XFGrf)"
                   R"(LhZjjYCMQDrC0IaRATLi98Km/Erx12em1FIoNjY8WM/oDQG9sBxcsdGcc2rjVnlBx)"
                   R"(8vJ6fMhoQ=)",
     .bundle = R"({"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verific)"
               R"(ationMaterial":{"publicKey":{"hint":"MPGNJBCrvt1FzUqPf+goQQU8uOQmN3/c)"
               R"(E4xn5Apfw3g="}},"dsseEnvelope":{"payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW)"
               R"(4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJkaWdlc3QiOnsic2hhMjU)"
               R"(2IjoiNzY2Y2QyNTRkZDg3ZTkxNTdlNDEzNWU2OGJiYTQyNGY3NjAwY2ViYjUzOTNhNTkw)"
               R"(ODU0NzZiNmYwNjU0MTZkYiJ9LCJhbm5vdGF0aW9ucyI6e319XSwicHJlZGljYXRlVHlwZ)"
               R"(SI6Imh0dHBzOi8vc2lnc3RvcmUuZGV2L2Nvc2lnbi9zaWduL3YxIiwicHJlZGljYXRlIj)"
               R"(p7fX0=","payloadType":"application/vnd.in-toto+json","signatures":[{")"
               R"(sig":"MGUCMB4J8PG5pFzQtluIRWBfb0mVvPxeaGIjCI//nvEE+x11+5phnGq7Dkh0Rkp)"
               R"(lvN9zIAIxAORaNia8sUlpSc+LqkgT+6LoKeN71ZbXLgv76NSTlwylHbepGlqqnfawUVoB)"
               R"(p2zhRA=="}]}})"},
    {.kind = "RSA 2048",
     .key = "-----BEGIN PUBLIC KEY-----\n"
            "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuvDAn3DxcpZAfAHNxoC8\n"
            "0xR+G3haCASfhhJgUbH9G5OGLyi8uRZouOXHhNtR9aj/4zCki7HW7GYOy7V4sIpH\n"
            "GyReYrk1EvGURh6G0phtEK1jarKG5WiIvUoixDfKuf2mFhawJUVQ2TKfYzzragu5\n"
            "fuOeXM3VXCi1cdLR4/lNU0bJTD23F74LjWODYU8NLHehYB0tEAKmcZf17B+6uPgQ\n"
            "dQL/k3hnHohr5UQcG069U0ooUdj1mLjwg5knLYo8TLeQFE4AQ6Sdj6U3hmaj2LqP\n"
            "rk8dWfEmViiiTfnxsiRBAe6LH82Q2scgBriAF5b2ml172IBFfzmC1ywKenlZnJJb\n"
            "fwIDAQAB\n"
            "-----END PUBLIC KEY-----\n",
     .annotation = R"(tEz12DJZEovXhrmDCzUSMlSooizS+lci20rWLX/jwOQAVyPqLQWJAzMFmZWAw2GOA)"
                   R"(OsQPs2fYDD8gQFYjDzjiGwpr/U0z8k5NtKDhHgPJYnHdGi+oP5Pvj0LfXKLnDaIHB)"
                   R"(6kMhoZ6NPNTaDqOxHs7duIO87HnxThRAVyrl+RbTNgrp0yh28sCEKVLNJDfzjjcFk)"
                   R"(VBqpjo1wQ7pj4rhQWoXTh64P9srKOMVyV38/aYeI5qljju6V3o6iF95LoWV+UmPQU)"
                   R"(mkpP+SLXG/l/N7lf8OxO94oKHorCkkIcXwjgwPnZAN0q7N0bF1ryS+4U25jGQzFIT)"
                   R"(9p2TAGBSoRW4PYjcw==)",
     .bundle = R"({"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verific)"
               R"(ationMaterial":{"publicKey":{"hint":"BT+w0IYt7qnLh8mSSsAt5gR7sBzinELY)"
               R"(kA0AnGXQzMY="}},"dsseEnvelope":{"payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW)"
               R"(4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJkaWdlc3QiOnsic2hhMjU)"
               R"(2IjoiNzY2Y2QyNTRkZDg3ZTkxNTdlNDEzNWU2OGJiYTQyNGY3NjAwY2ViYjUzOTNhNTkw)"
               R"(ODU0NzZiNmYwNjU0MTZkYiJ9LCJhbm5vdGF0aW9ucyI6e319XSwicHJlZGljYXRlVHlwZ)"
               R"(SI6Imh0dHBzOi8vc2lnc3RvcmUuZGV2L2Nvc2lnbi9zaWduL3YxIiwicHJlZGljYXRlIj)"
               R"(p7fX0=","payloadType":"application/vnd.in-toto+json","signatures":[{")"
               R"(sig":"f+ecYDIcicXtfRWJYUxeI3f2gOw9VyVRRXF+g4N0qiIMvIGxcjdrOk5uSv9M7E7)"
               R"(wx8ODFcV1EmTRP96wGczVYyjWeJ2W4u700cocrdSKsY0w9Wu8DMhGdrQbVRnJv2icRabW)"
               R"(DRgbTvukaNlEY+lrpJpb6hFDh2MYushQuC/RrGZgLhiFa0naxaaZWLdgW5lONoFLlLMNE)"
               R"(IS6ZiLuq8k29ADIlNm0QxEQBMgtuUIqnJ5ZuFIrmnFn2uA9l+nvoOLQcmhte27GQi5Nfn)"
               R"(49PGNdzB2Cx4HOy0yfKDGX6u+pxszhnU084+rSfyPkPIgqNNRIJkFQIKu/hAERw+7tH3t)"
               R"(Bng=="}]}})"}};

TEST_CASE("what cosign writes is read and verified, with each kind of key") {
    const Subject subject{.digest = oci::Digest::parse(kCosignDigest), .bytes = ""};
    for (const CosignSample& sample : kCosignSamples) {
        CAPTURE(sample.kind);
        const PublicKey key = PublicKey::parse(sample.key, "cosign.pub");
        CHECK(key.kind() == sample.kind);
        for (const Signature& signature : {read_simple_signing(kCosignPayload, sample.annotation),
                                           read_bundle(sample.bundle, subject)}) {
            // cosign signs with Ed25519ph, which not every OpenSSL knows.
            CHECK(key.verifies(signature.message, signature.bytes) == key.limitation().empty());
            CHECK_NOTHROW(require_subject(signature, subject));
        }
    }
}

TEST_CASE("the hint in a bundle is the key's fingerprint, in base64") {
    // "0o0B..." is what the first bundle has.
    const PublicKey key = PublicKey::parse(kCosignSamples.front().key, "cosign.pub");
    CHECK(key.fingerprint() ==
          "sha256:d28d01f50a30adba4e8cebc07ef333bd4fd867e77c27d2fecb054a95ae3dca98");
}

}  // namespace
}  // namespace prebake::trust
