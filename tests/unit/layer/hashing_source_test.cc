#include "agent/layer/hashing_source.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "tests/unit/base/bytes_source.h"

namespace prebake::layer {
namespace {

TEST_CASE("the bytes that were read are hashed and counted") {
    const std::string body(1000, 'h');
    prebake::tests::BytesSource from(body);
    HashingSource source(from);
    std::string got;
    std::array<char, 300> buffer{};
    for (;;) {
        const std::size_t count = source.read(std::as_writable_bytes(std::span(buffer)));
        got.append(buffer.data(), count);
        CHECK(source.size() == got.size());
        if (count < buffer.size()) break;
    }
    CHECK(got == body);
    CHECK(source.finish() == sha256(body));
}

TEST_CASE("the hash of nothing is that of no bytes") {
    prebake::tests::BytesSource from("never read");
    HashingSource source(from);
    CHECK(source.size() == 0);
    CHECK(source.finish() == sha256(""));
}

}  // namespace
}  // namespace prebake::layer
