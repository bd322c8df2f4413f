#include "agent/layer/decompress.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/layer/streams.h"

namespace prebake::layer::test::decompress_test {
namespace {

TEST_CASE("the first bytes of a layer say how it is compressed") {
    struct Row {
        const char* name;
        std::string bytes;
        Compression expected;
    };
    const std::string skippable = little_endian(0x184d2a50, 4);
    const std::vector<Row> rows = {
        {"nothing", "", Compression::none},
        {"a tar", "etc/passwd", Compression::none},
        {"gzip", gzip_member("x"), Compression::gzip},
        {"gzip, three bytes", "\x1f\x8b\x08", Compression::gzip},
        {"two bytes of gzip", "\x1f\x8b", Compression::none},
        {"gzip with another method", "\x1f\x8b\x07", Compression::none},
        {"zstd", zstd_frame("x"), Compression::zstd},
        {"zstd, four bytes", little_endian(0xfd2fb528, 4), Compression::zstd},
        {"three bytes of zstd", little_endian(0x2fb528, 3), Compression::none},
        {"zstd of version 0.7", little_endian(0xfd2fb527, 8), Compression::none},
        {"first skippable frame", skippable_frame(""), Compression::zstd},
        {"last skippable frame", skippable_frame("", 15), Compression::zstd},
        {"behind the last skippable frame", skippable_frame("", 16), Compression::none},
        {"a skippable frame without its size", skippable + "abc", Compression::none},
        {"xz", "\xfd" + std::string("7zXZ\0\0\4", 7), Compression::none},
        {"bzip2", "BZh91AY&SY", Compression::none},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(compression_of(std::as_bytes(std::span(row.bytes))) == row.expected);
    }
}

TEST_CASE("bytes that are not compressed are passed on") {
    for (const std::size_t size : {0UL, 1UL, 7UL, 8UL, 9UL, 100UL, 5000UL}) {
        CAPTURE(size);
        const std::string body = sample(size, 3);
        for (const std::size_t in : {8UL, 9UL, 64UL, 10'000UL}) {
            for (const std::size_t out : {1UL, 8UL, 13UL, 4096UL}) {
                CAPTURE(in);
                CAPTURE(out);
                const Outcome outcome = outcome_of(body, {.read_ahead = in}, out);
                CHECK(!outcome.error);
                CHECK((outcome.body == body));
            }
        }
    }
}

TEST_CASE("an error of the compressed stream is passed on") {
    const Error failure(Errc::unavailable, "the connection was closed");
    for (const std::string& whole :
         {sample(3000, 5), gzip_member(sample(3000, 5)), zstd_frame(sample(3000, 5))}) {
        BytesSource source(whole.substr(0, 1000), failure);
        std::vector<std::byte> buffer(100'000);
        const auto read = [&] {
            const auto bytes = decompressed(source, {.read_ahead = 500});
            while (bytes->read(buffer) > 0) continue;
        };
        CHECK_THROWS_WITH_AS(read(), "the connection was closed", Error);
    }
}

}  // namespace
}  // namespace prebake::layer::test::decompress_test
