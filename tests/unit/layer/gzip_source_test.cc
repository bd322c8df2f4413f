#include "agent/layer/gzip_source.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/unit/layer/streams.h"

namespace prebake::layer::test::gzip_source_test {
namespace {

const std::string kBody = "the body of a member, the body of a member\n";
const std::string kMember = gzip_member(kBody);
/// A member with the header that these make.
std::string with_header(unsigned flags, const std::string& fields) {
    return gzip_header(flags, fields) + deflated(kBody) + gzip_trailer(kBody);
}

const std::string kZero(1, '\0');
const std::string kExtra = little_endian(3, 2) + "abc";
constexpr unsigned kText = 1, kHeaderCrc = 2, kHasExtra = 4, kHasName = 8, kHasComment = 16;

std::string wrong_header_crc() {
    std::string header = gzip_header(kHeaderCrc | kHasName, "layer.tar" + kZero);
    header.back() = static_cast<char>(header.back() ^ 1);
    return header + deflated(kBody) + gzip_trailer(kBody);
}

std::string body_with_trailer(const std::string& trailer) {
    return kPlainHeader + deflated(kBody) + trailer;
}

std::string damaged(const std::string& cause) {
    return "the gzip member at byte 0 is damaged: " + cause;
}
std::string truncated(std::size_t size, std::size_t begin = 0) {
    return "the gzip member at byte " + std::to_string(begin) +
           " is truncated: the layer ends after " + std::to_string(size) + " bytes";
}
std::string no_member(std::size_t begin) {
    return "byte " + std::to_string(begin) + " is not the beginning of a gzip member";
}

std::vector<StreamCase> cases() {
    const std::size_t size = kMember.size();
    return {
        {"one member", kMember, kBody},
        {"two members", kMember + gzip_member("and more\n"), kBody + "and more\n"},
        {"an empty member alone", gzip_member(""), ""},
        {"empty members between", gzip_member("") + kMember + gzip_member("") + kMember,
         kBody + kBody},
        {"all fields of a header",
         with_header(kText | kHeaderCrc | kHasExtra | kHasName | kHasComment,
                     kExtra + "layer.tar" + kZero + "no comment" + kZero),
         kBody},
        {"a header checksum alone", with_header(kHeaderCrc, ""), kBody},
        {"extra field of zero bytes", with_header(kHasExtra, little_endian(0, 2)), kBody},
        {"longest extra field",
         with_header(kHasExtra, little_endian(65535, 2) + std::string(65535, 'x')), kBody},
        {"longest name", with_header(kHasName, std::string(511, 'n') + kZero), kBody},
        {"longest comment", with_header(kHasComment, std::string(511, 'c') + kZero), kBody},
        {"reserved flags", with_header(0xe0, ""), kBody},
        {"name too long", with_header(kHasName, std::string(512, 'n') + kZero), "",
         damaged("a name or comment in its header is longer than 511 bytes")},
        {"wrong header checksum", wrong_header_crc(), "", damaged("wrong checksum of its header")},
        {"wrong checksum", body_with_trailer(little_endian(1, 4) + little_endian(kBody.size(), 4)),
         "", damaged("wrong checksum or length")},
        {"wrong length", body_with_trailer(little_endian(crc_of(kBody), 4) + little_endian(1, 4)),
         "", damaged("wrong checksum or length")},
        {"one zero behind it", kMember + kZero, "", truncated(size + 1, size)},
        {"zeros behind it", kMember + std::string(512, '\0'), "", no_member(size)},
        {"garbage behind it", kMember + "0123456789abcdef", "", no_member(size)},
        {"another method behind it", kMember + "\x1f\x8b\x07" + std::string(30, '\0'), "",
         no_member(size)},
        {"no trailer", body_with_trailer(""), "", truncated(size - 8)},
        {"half a trailer", body_with_trailer("1234"), "", truncated(size - 4)},
        {"only a header", kPlainHeader, "", truncated(10)},
        {"three bytes", kPlainHeader.substr(0, 3), "", truncated(3)},
        // A last block of the reserved type 3; fixed ones with code 286, and with a distance of 1.
        {"invalid block", kPlainHeader + "\x07" + std::string(20, '\0'), "",
         damaged("invalid block")},
        {"invalid code", kPlainHeader + "\x1b\x03" + std::string(20, '\0'), "",
         damaged("invalid code")},
        {"distance before the first byte", kPlainHeader + "\x03\x02" + std::string(20, '\0'), "",
         damaged("a distance points before the first byte")},
        {"distance into the member before",
         kMember + kPlainHeader + "\x03\x02" + std::string(20, '\0'), "",
         "the gzip member at byte " + std::to_string(size) +
             " is damaged: a distance points before the first byte"},
    };
}

TEST_CASE("a gzip stream gives the bytes of all members, or an error") {
    for (const StreamCase& row : cases()) {
        CAPTURE(row.name);
        const Outcome outcome = outcome_of(row.compressed);
        CHECK(message_of(outcome) == row.message);
        if (outcome.error) {
            CHECK(outcome.error->code() == row.code);
            CHECK(outcome.error->next_step().find("push the image again") != std::string::npos);
        } else {
            CHECK(outcome.body == row.body);
        }
    }
}

TEST_CASE("it does not matter where buffers end") {
    for (const StreamCase& row : cases()) {
        CAPTURE(row.name);
        const std::size_t last = std::min<std::size_t>(row.compressed.size() + 1, 700);
        for (std::size_t in = kCompressionMagicBytes; in <= last; ++in) {
            const Outcome outcome = outcome_of(row.compressed, {.read_ahead = in}, 1 + in % 50);
            REQUIRE(message_of(outcome) == row.message);
            if (!outcome.error) REQUIRE(outcome.body == row.body);
        }
    }
}

TEST_CASE("a stream that is cut anywhere is an error, except between two members") {
    const std::string second = "and more\n";
    const std::string all = kMember + gzip_member(second);
    for (std::size_t size = 3; size <= all.size(); ++size) {
        CAPTURE(size);
        const Outcome outcome = outcome_of(all.substr(0, size), {}, 7);
        const bool is_whole = size == kMember.size() || size == all.size();
        REQUIRE(outcome.error.has_value() == !is_whole);
        if (!is_whole) CHECK(message_of(outcome).find("truncated") != std::string::npos);
    }
}

TEST_CASE("a wrong bit never gives other bytes") {
    const std::string body = sample(3000);
    const std::string compressed = gzip_member(body);
    std::size_t harmless = 0;
    for (std::size_t bit = 3 * 8UL; bit < compressed.size() * 8; ++bit) {
        std::string changed = compressed;
        changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ 1 << bit % 8);
        const Outcome outcome = outcome_of(changed);
        if (outcome.error) {
            REQUIRE(outcome.error->code() == Errc::corrupt);
        } else {
            REQUIRE(outcome.body == body);
            ++harmless;
        }
    }
    // Flags of text and reserved ones, time, compression, system; maybe unused bits of the body.
    CHECK(harmless >= 4 + 6 * 8);
    CHECK(harmless < 4 + 6 * 8 + 16);
}

TEST_CASE("what zlib compresses in any way comes out the same, with buffers of any size") {
    std::mt19937 random(14);
    std::vector<Deflate> ways;
    for (int level = 0; level <= 9; ++level) ways.push_back({.level = level});
    for (const int strategy : {Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED}) {
        ways.push_back({.strategy = strategy});
        ways.push_back({.strategy = strategy, .flush_every = 777});
    }
    for (const Deflate& how : ways) {
        CAPTURE(how.level);
        CAPTURE(how.strategy);
        const std::string body = sample(400'000, static_cast<unsigned>(random()));
        const std::string compressed =
            gzip_member(body.substr(0, 100'000), how) + gzip_member(body.substr(100'000), how);
        for (int i = 0; i < 4; ++i) {
            const std::size_t in = kCompressionMagicBytes + random() % 5000;
            const std::size_t out = 1 + random() % (i % 2 == 0 ? 300 : 100'000);
            CAPTURE(in);
            CAPTURE(out);
            const Outcome outcome = outcome_of(compressed, {.read_ahead = in}, out);
            CHECK(message_of(outcome).empty());
            CHECK((outcome.body == body));
        }
    }
}

}  // namespace
}  // namespace prebake::layer::test::gzip_source_test
