#include "agent/identity/secrets/byte_source.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "agent/identity/secrets/gunzip.h"
#include "agent/identity/secrets/utf16.h"
#include "tests/unit/identity/secrets/planted_files.h"

namespace prebake::identity::secrets::byte_source_test {

using tests::gzipped;
using tests::noise;
using tests::utf16;

/// Hands out at most `step` bytes at a time.
class StringBytes : public ByteSource {
  public:
    StringBytes(std::string text, std::size_t step) : text_(std::move(text)), step_(step) {}
    std::size_t read(char* to, std::size_t size) override {
        const std::size_t count = std::min({size, step_, text_.size() - at_});
        std::memcpy(to, text_.data() + at_, count);
        at_ += count;
        return count;
    }
    void rewind() override { at_ = 0; }

  private:
    const std::string text_;
    const std::size_t step_;
    std::size_t at_ = 0;
};

std::string all_of(ByteSource& bytes, std::size_t step = 1000) {
    std::string text;
    std::string piece(step, '\0');
    while (const std::size_t got = bytes.read(piece.data(), piece.size()))
        text.append(piece, 0, got);
    return text;
}

TEST_CASE("what gzip compressed is unpacked, and what is not gzip is passed on") {
    struct Row {
        std::string name;
        std::string packed;
        std::string text;
        bool is_damaged;
    };
    const std::string text = noise(200'000);
    const std::string packed = gzipped(text);
    const std::string half = packed.substr(0, packed.size() / 2);
    std::string bad_checksum = packed;
    bad_checksum[packed.size() - 6] ^= 1;
    const std::vector<Row> rows{
        {"one member", packed, text, false},
        {"nothing in it", gzipped(""), "", false},
        {"two members", gzipped("one ") + gzipped("two"), "one two", false},
        {"something behind it", gzipped("one ") + "AKIA", "one AKIA", false},
        {"one byte behind it", gzipped("one ") + "x", "one x", false},
        {"half of the magic number behind it", gzipped("one ") + "\x1f", "one \x1f", false},
        {"padded, as on tapes", gzipped("one") + std::string(3, '\0'), "one" + std::string(3, '\0'),
         false},
        {"a wrong checksum", bad_checksum, text + bad_checksum.substr(packed.size() - 4), true},
    };
    for (const Row& row : rows) {
        for (const std::size_t step : {std::size_t{1} << 20, std::size_t{7}, std::size_t{1}}) {
            CAPTURE(row.name);
            CAPTURE(step);
            StringBytes file(row.packed, step);
            GunzippedBytes bytes(file);
            CHECK(is_gzip(row.packed));
            for (const char* const time : {"first", "after rewind()"}) {
                CAPTURE(time);
                const std::string unpacked = all_of(bytes);
                // The checksum is wrong: what is passed on of it depends on zlib.
                const std::size_t unchecked = row.is_damaged ? 4 : 0;
                CHECK(unpacked.substr(0, row.text.size() - unchecked) ==
                      row.text.substr(0, row.text.size() - unchecked));
                CHECK(bytes.is_damaged() == row.is_damaged);
                CHECK_FALSE(bytes.expands_too_much());
                bytes.rewind();
            }
        }
    }
    StringBytes file(half, 1 << 20);
    GunzippedBytes bytes(file);
    const std::string unpacked = all_of(bytes);
    CHECK(unpacked.size() > 1000);
    CHECK(text.starts_with(unpacked));
    CHECK(bytes.is_damaged());
}

TEST_CASE("a file that expands without end is not unpacked to its end") {
    const std::string zeros(64UL << 20, '\0');
    StringBytes file(gzipped(zeros), 1 << 20);
    GunzippedBytes bytes(file);
    const std::size_t size = all_of(bytes, 1 << 20).size();
    CHECK(bytes.expands_too_much());
    CHECK(size > GunzippedBytes::kFreeBytes);
    CHECK(size < GunzippedBytes::kFreeBytes + (4UL << 20));
}

TEST_CASE("gzip is recognized by its header") {
    CHECK_FALSE(is_gzip(""));
    CHECK_FALSE(is_gzip("\x1f\x8b\x08"));
    CHECK_FALSE(is_gzip(std::string("\x1f\x8b\x07\0\0\0\0\0\0\0", 10)));
    CHECK_FALSE(is_gzip(std::string("\x1f\x8b\x08\xe0\0\0\0\0\0\0", 10)));
    CHECK(is_gzip(std::string("\x1f\x8b\x08\0\0\0\0\0\0\0", 10)));
}

TEST_CASE("text in UTF-16 is recognized") {
    struct Row {
        std::string name;
        std::string text;
        std::string expected;
    };
    const std::vector<Row> rows{
        {"little endian, with a mark", "\xff\xfe" + utf16("a"), "little"},
        {"big endian, with a mark", "\xfe\xff" + utf16("a", true), "big"},
        {"little endian, without one", utf16("password = 12\r\n"), "little"},
        {"big endian, without one", utf16("password = 12\r\n", true), "big"},
        {"with some letters that are not ASCII",
         utf16("password of J") + "\xf6\x20" + utf16("rg = swordfish9"), "little"},
        {"UTF-32", std::string("\xff\xfe\0\0a\0\0\0", 8), ""},
        {"too short", utf16("abc"), ""},
        {"ASCII", "password = swordfish9", ""},
        {"zeros", std::string(64, '\0'), ""},
        {"numbers of 16 bits", std::string("\1\0\2\0\3\0\4\0\5\0\6\0\7\0\1\0", 16), ""},
        {"numbers of 32 bits", std::string("A\0\0\0B\0\0\0C\0\0\0D\0\0\0", 16), ""},
        {"nothing", "", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const auto order = utf16_order(row.text);
        const std::string found = !order ? "" : *order == ByteOrder::little ? "little" : "big";
        CHECK(found == row.expected);
    }
}

TEST_CASE("UTF-16 becomes UTF-8") {
    const std::string little("h\0\xe4\0\xac\x20\x3d\xd8\x00\xde!\0", 12);
    const std::string expected = "h\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!";
    std::string big;
    for (std::size_t at = 0; at < little.size(); at += 2) big += {little[at + 1], little[at]};
    for (const std::size_t step : {1UL, 2UL, 3UL, 100UL}) {
        CAPTURE(step);
        StringBytes first(little, step);
        StringBytes second(big, step);
        Utf16AsUtf8 text(first, ByteOrder::little);
        CHECK(all_of(text) == expected);
        text.rewind();
        CHECK(all_of(text, 1) == expected);
        Utf16AsUtf8 other(second, ByteOrder::big);
        CHECK(all_of(other) == expected);
    }
    // Halves of pairs, and half a character at the end.
    StringBytes odd(std::string("\x3d\xd8"
                                "a\0\x00\xde"
                                "b\0x",
                                9),
                    100);
    Utf16AsUtf8 text(odd, ByteOrder::little);
    CHECK(all_of(text) ==
          "\xef\xbf\xbd"
          "a\xef\xbf\xbd"
          "b");
}

}  // namespace prebake::identity::secrets::byte_source_test
