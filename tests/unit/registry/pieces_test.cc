#include "agent/registry/pieces.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace prebake::registry::pieces_test {

struct Fixture {
    BlobConnections connections{1, 4 * Block::kBytes};
    Pieces pieces{100, 20};

    void append(Piece& piece, std::string_view bytes) {
        Block block = connections.needed_block();
        std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(block.bytes.get()));
        block.size = bytes.size();
        Pieces::append(piece, std::move(block));
    }
    std::string read(std::size_t size) {
        std::string text(size, '\0');
        text.resize(pieces.read(std::as_writable_bytes(std::span(text))));
        return text;
    }
};

TEST_CASE("pieces follow each other, and the last one takes a small rest") {
    Fixture fixture;
    Pieces& pieces = fixture.pieces;
    CHECK(pieces.begin() == 100);
    std::string bounds;
    for (auto piece = pieces.claim(15); piece; piece = pieces.claim(15)) {
        bounds += std::to_string(piece->begin) + "-" + std::to_string(piece->end) + " ";
    }
    CHECK(bounds == "15-35 35-55 55-75 75-100 ");
    CHECK(pieces.begin() == 15);
    CHECK_FALSE(pieces.has_unclaimed(15));
    CHECK_FALSE(Pieces(100, 20).claim(100));
}

TEST_CASE("what is given up is claimed first") {
    Fixture fixture;
    Pieces& pieces = fixture.pieces;
    const auto first = pieces.claim(0);
    const auto second = pieces.claim(0);
    fixture.append(*second, "12345");
    pieces.give_up(*second);
    const auto rest = pieces.claim(0);
    CHECK(rest->begin == 25);
    CHECK(rest->end == 40);
    pieces.give_up(*first);
    CHECK(pieces.claim(0) == first);
    CHECK(pieces.claim(0)->begin == 40);
    CHECK(second->state == Piece::State::whole);
}

TEST_CASE("a piece is read as it arrives, and one that was given up after it was read is gone") {
    Fixture fixture;
    Pieces& pieces = fixture.pieces;
    const auto first = pieces.claim(0);
    CHECK(fixture.read(3).empty());
    fixture.append(*first, "123456");
    CHECK(fixture.read(4) == "1234");
    CHECK(fixture.read(4) == "56");
    CHECK(fixture.read(4).empty());
    CHECK(pieces.front() == first);
    pieces.give_up(*first);
    CHECK(pieces.front()->begin == 6);
    CHECK(pieces.front()->state == Piece::State::unclaimed);
    const auto rest = pieces.claim(0);
    fixture.append(*rest, "78901234567890");
    CHECK(rest->state == Piece::State::whole);
    CHECK(fixture.read(20) == "78901234567890");
    CHECK(pieces.empty());
}

TEST_CASE("a piece that came into its turn is withdrawn, and giving it up changes nothing") {
    Fixture fixture;
    const auto first = fixture.pieces.claim(10);
    fixture.pieces.withdraw_front();
    fixture.pieces.give_up(*first);
    CHECK(fixture.pieces.empty());
    CHECK(first->state == Piece::State::withdrawn);
    CHECK(fixture.pieces.claim(60)->begin == 60);
}

TEST_CASE("memory is bounded, and comes back with its block") {
    BlobConnections connections(1, 2 * Block::kBytes + 5);
    CHECK(connections.memory() == 2 * Block::kBytes);
    auto first = connections.try_block();
    const auto second = connections.try_block();
    CHECK(first);
    CHECK(second);
    CHECK_FALSE(connections.try_block());
    auto more = std::optional(connections.needed_block());
    first.reset();
    CHECK_FALSE(connections.try_block());
    more.reset();
    CHECK(connections.try_block());
}

}  // namespace prebake::registry::pieces_test
