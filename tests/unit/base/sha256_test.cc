#include "agent/base/sha256.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/base/bytes_source.h"

namespace {

struct VectorCase {
    const char* name;
    std::string bytes;
    const char* hex;
};

/// NIST's examples for SHA-256 (FIPS 180-4), and lengths around its 64-byte block.
const std::vector<VectorCase> kVectors = {
    {"empty", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"one block", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"a million letters", std::string(1'000'000, 'a'),
     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    {"one zero byte", std::string(1, '\0'),
     "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
};

}  // namespace

TEST_CASE("sha256_hex() gives the published hashes") {
    for (const VectorCase& row : kVectors) {
        CAPTURE(row.name);
        CHECK(prebake::sha256_hex(row.bytes) == row.hex);
    }
}

TEST_CASE("the hash does not depend on the sizes of the updates") {
    const std::string bytes(1000, 'x');
    const prebake::Sha256Hash whole = prebake::sha256(bytes);
    for (const std::size_t step : {1U, 63U, 64U, 65U, 999U}) {
        CAPTURE(step);
        prebake::Sha256 hash;
        for (std::size_t at = 0; at < bytes.size(); at += step) {
            hash.update(std::string_view(bytes).substr(at, step));
            hash.update(std::string_view());
        }
        CHECK(hash.finish() == whole);
    }
}

TEST_CASE("bytes and text give the same hash") {
    const std::vector<std::byte> bytes = {std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
    prebake::Sha256 hash;
    hash.update(bytes);
    CHECK(hash.finish() == prebake::sha256("abc"));
}

TEST_CASE("the hash of a stream is that of its bytes, each reported once") {
    const std::string bytes(1'000'000, 'a');
    std::size_t read = 0;
    prebake::tests::BytesSource whole(bytes);
    CHECK(prebake::sha256(whole, [&](std::size_t got) { read += got; }) == prebake::sha256(bytes));
    CHECK(read == bytes.size());
    prebake::tests::BytesSource stopped(bytes);
    CHECK_THROWS_AS(prebake::sha256(stopped, [](std::size_t) { throw 1; }), int);
}

TEST_CASE("a moved hash continues where it was") {
    prebake::Sha256 first;
    first.update("a");
    prebake::Sha256 second(std::move(first));
    second.update("b");
    prebake::Sha256 third;
    third.update("dropped");
    third = std::move(second);
    third.update("c");
    CHECK(third.finish() == prebake::sha256("abc"));
}
