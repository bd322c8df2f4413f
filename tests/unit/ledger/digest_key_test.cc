#include "agent/ledger/digest_key.h"

#include <doctest/doctest.h>

#include <string>

namespace prebake::ledger {
namespace {

TEST_CASE("only whole sha256 digests are digests") {
    const std::string hex = "0123456789abcdef00000000000000000000000000000000fedcba9876543210";
    const auto key = parse_digest("sha256:" + hex);
    REQUIRE(key.has_value());
    CHECK(*key == DigestKey{0x0123456789abcdef, 0, 0, 0xfedcba9876543210});
    for (const std::string& text :
         {std::string(), hex, "sha512:" + hex, "sha256:" + hex + "0", "sha256:" + hex.substr(1),
          "sha256:A" + hex.substr(1), "sha256:-" + hex.substr(1), "sha256: " + hex.substr(1)}) {
        CAPTURE(text);
        CHECK_FALSE(parse_digest(text).has_value());
    }
}

}  // namespace
}  // namespace prebake::ledger
