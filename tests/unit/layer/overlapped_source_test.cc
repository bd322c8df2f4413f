#include "agent/layer/overlapped_source.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>

#include "agent/base/error.h"
#include "tests/unit/base/bytes_source.h"

namespace prebake::layer::overlapped_source_test {

std::string read_all(Source& source, std::size_t size) {
    std::string all;
    for (;;) {
        std::string part(size, '\0');
        const std::size_t got = source.read(std::as_writable_bytes(std::span(part)));
        all += part.substr(0, got);
        if (got < size) return all;
    }
}

/// `good` bytes, then an error.
class Failing final : public Source {
  public:
    explicit Failing(std::string good) : good_(std::move(good)) {}
    std::size_t read(std::span<std::byte> buffer) override {
        ++reads;
        const std::size_t got = good_.read(buffer);
        if (got < buffer.size()) throw Error(Errc::corrupt, "damaged");
        return got;
    }
    std::atomic<int> reads = 0;

  private:
    prebake::tests::BytesSource good_;
};

TEST_CASE("all bytes come in their order, whatever is read at a time") {
    for (const std::size_t size : {0UL, 1UL, 7UL, 8UL, 31UL, 32UL, 33UL, 1000UL}) {
        std::string bytes;
        for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>('a' + i % 23);
        for (const std::size_t piece : {8UL, 32UL}) {
            for (const std::size_t at_once : {1UL, 8UL, 9UL, 100UL, 5000UL}) {
                CAPTURE(size);
                CAPTURE(piece);
                CAPTURE(at_once);
                prebake::tests::BytesSource from(bytes);
                OverlappedSource source(from, piece);
                CHECK(read_all(source, at_once) == bytes);
                std::byte more{};
                CHECK(source.read({&more, 1}) == 0);
            }
        }
    }
}

TEST_CASE("an error comes after the pieces before it, and stays") {
    Failing from(std::string(20, 'x'));
    OverlappedSource source(from, 8);
    std::string good(16, '\0');
    CHECK(source.read(std::as_writable_bytes(std::span(good))) == 16);
    CHECK(good == std::string(16, 'x'));
    std::byte more{};
    CHECK_THROWS_AS(source.read({&more, 1}), Error);
    CHECK_THROWS_AS(source.read({&more, 1}), Error);
}

TEST_CASE("only a few pieces are read ahead, and a source that nobody reads ends") {
    Failing from(std::string(8000, 'x'));
    { const OverlappedSource source(from, 8); }
    CHECK(from.reads <= static_cast<int>(OverlappedSource::kPieces));
}

}  // namespace prebake::layer::overlapped_source_test
