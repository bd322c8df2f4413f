#include "agent/layer/zstd_source.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/layer/streams.h"

namespace prebake::layer::test::zstd_source_test {
namespace {

const std::string kBody = "the body of a frame, the body of a frame, the body of a frame\n";
const std::string kFrame = zstd_frame(kBody);
const std::string kMagic = little_endian(0xfd2fb528, 4);
/// A last block, raw, of one byte.
const std::string kLastBlock = little_endian(1U | 1U << 3, 3) + "x";

std::string damaged(const std::string& cause) {
    return "the zstd frame at byte 0 is damaged: " + cause;
}
std::string truncated(std::size_t size, std::size_t begin = 0) {
    return "the zstd frame at byte " + std::to_string(begin) +
           " is truncated: the layer ends after " + std::to_string(size) + " bytes";
}
std::string no_frame(std::size_t begin) {
    return "byte " + std::to_string(begin) + " is not the beginning of a zstd frame";
}

/// A frame of one byte that declares a window of 2^log bytes, and an eighth of it for each of
/// `eighths`.
std::string frame_with_window(unsigned log, unsigned eighths = 0) {
    return kMagic + little_endian(0, 1) + little_endian((log - 10) << 3 | eighths, 1) + kLastBlock;
}

/// One that declares its content's size, which is its window.
std::string frame_with_size(std::uint64_t size) {
    return kMagic + little_endian(0xe0, 1) + little_endian(size, 8) + kLastBlock;
}

std::string with_wrong_checksum() {
    std::string frame = kFrame;
    frame.back() = static_cast<char>(frame.back() ^ 1);
    return frame;
}

/// Frames with their offsets in a skippable frame at the end, as zstd:chunked and seekable files
/// have.
std::string chunked() {
    return kFrame + zstd_frame("second") + skippable_frame("a manifest", 0) +
           skippable_frame(std::string(64, 'o'), 14);
}

std::vector<StreamCase> cases() {
    const std::size_t size = kFrame.size();
    const std::string large = "the zstd frame at byte 0 needs a window larger than 512 MiB";
    return {
        {"one frame", kFrame, kBody},
        {"two frames", kFrame + zstd_frame("more"), kBody + "more"},
        {"an empty frame alone", zstd_frame(""), ""},
        {"an empty frame without its size", zstd_frame("", {.has_size = false}), ""},
        {"empty frames between", zstd_frame("") + kFrame + zstd_frame("") + kFrame, kBody + kBody},
        {"neither checksum nor size", zstd_frame(kBody, {.has_checksum = false, .has_size = false}),
         kBody},
        {"a skippable frame in front", skippable_frame("skipped") + kFrame, kBody},
        {"skippable frames everywhere",
         skippable_frame("", 15) + kFrame + skippable_frame("x") + kFrame + skippable_frame("y", 7),
         kBody + kBody},
        {"only a skippable frame", skippable_frame("skipped"), ""},
        {"zstd:chunked", chunked(), kBody + "second"},
        {"the largest window", frame_with_window(29), "x"},
        {"a larger window", frame_with_window(29, 1), "", large, Errc::too_large},
        {"the largest window of the format", frame_with_window(41, 7), "", large, Errc::too_large},
        {"a larger size", frame_with_size((1ULL << 29) + 1), "", large, Errc::too_large},
        {"less than its size", frame_with_size(1000), "", damaged("Data corruption detected")},
        {"more than its size", frame_with_size(0), "", damaged("Data corruption detected")},
        {"more than its size of one", kMagic + "\x20\x01" + little_endian(1U | 2U << 3, 3) + "xx",
         "", damaged("Data corruption detected")},
        {"wrong checksum", with_wrong_checksum(), "",
         damaged("Restored data doesn't match checksum")},
        {"reserved bit", kMagic + "\x08" + little_endian(0, 1) + kLastBlock, "",
         damaged("Unsupported frame parameter")},
        {"reserved block type", kMagic + little_endian(0, 2) + little_endian(7, 3), "",
         damaged("Data corruption detected")},
        {"a dictionary", kMagic + "\x01" + little_endian(0, 1) + "\x05" + kLastBlock, "",
         "the zstd frame at byte 0 needs a dictionary", Errc::unsupported},
        {"one zero behind it", kFrame + std::string(1, '\0'), "", truncated(size + 1, size)},
        {"zeros behind it", kFrame + std::string(512, '\0'), "", no_frame(size)},
        {"a gzip member behind it", kFrame + gzip_member("x"), "", no_frame(size)},
        {"a frame of version 0.7 behind it", kFrame + little_endian(0xfd2fb527, 4) + "abcdefgh", "",
         no_frame(size)},
        {"no blocks", kMagic + little_endian(0, 2), "", truncated(6)},
        {"truncated skippable frame", kFrame + skippable_frame("skipped").substr(0, 10), "",
         truncated(size + 10, size)},
        {"only its magic", kMagic, "", truncated(4)},
    };
}

TEST_CASE("a zstd stream gives the bytes of all frames, or an error") {
    for (const StreamCase& row : cases()) {
        CAPTURE(row.name);
        const Outcome outcome = outcome_of(row.compressed);
        CHECK(message_of(outcome) == row.message);
        if (outcome.error) {
            CHECK(outcome.error->code() == row.code);
            CHECK(!outcome.error->next_step().empty());
        } else {
            CHECK(outcome.body == row.body);
        }
    }
}

TEST_CASE("it does not matter where buffers end") {
    for (const StreamCase& row : cases()) {
        CAPTURE(row.name);
        for (std::size_t in = kCompressionMagicBytes; in <= row.compressed.size() + 1; ++in) {
            const Outcome outcome = outcome_of(row.compressed, {.read_ahead = in}, 1 + in % 50);
            REQUIRE(message_of(outcome) == row.message);
            if (outcome.error) {
                REQUIRE(outcome.error->code() == row.code);
            } else {
                REQUIRE(outcome.body == row.body);
            }
        }
    }
}

TEST_CASE("a stream that is cut anywhere is an error, except between two frames") {
    const std::string first = kFrame + skippable_frame("skipped");
    const std::string all = first + zstd_frame("more");
    for (std::size_t size = kZstdMagicBytes; size <= all.size(); ++size) {
        CAPTURE(size);
        const Outcome outcome = outcome_of(all.substr(0, size), {}, 7);
        const bool is_whole = size == kFrame.size() || size == first.size() || size == all.size();
        REQUIRE(outcome.error.has_value() == !is_whole);
        if (!is_whole) CHECK(message_of(outcome).find("truncated") != std::string::npos);
    }
}

TEST_CASE("a caller may allow only smaller windows") {
    const DecompressionLimits limits{.zstd_window_log = 20};
    CHECK(outcome_of(frame_with_window(20), limits).body == "x");
    const Outcome refused = outcome_of(frame_with_window(20, 1), limits);
    CHECK(message_of(refused) == "the zstd frame at byte 0 needs a window larger than 1 MiB");
    CHECK(refused.error->code() == Errc::too_large);
}

TEST_CASE("what zstd compresses in any way comes out the same, with buffers of any size") {
    std::mt19937 random(14);
    for (const int level : {-5, 1, 3, 9, 15, 19}) {
        for (const int window_log : {0, 10, 17}) {
            CAPTURE(level);
            CAPTURE(window_log);
            const std::string body = sample(300'000, static_cast<unsigned>(random()));
            const Frame how{.level = level, .window_log = window_log};
            const std::string compressed =
                zstd_frame(body.substr(0, 70'000), how) + zstd_frame(body.substr(70'000), how);
            for (int i = 0; i < 3; ++i) {
                const std::size_t in = kCompressionMagicBytes + random() % 5000;
                const std::size_t out = 1 + random() % (i == 0 ? 300 : 100'000);
                CAPTURE(in);
                CAPTURE(out);
                const Outcome outcome = outcome_of(compressed, {.read_ahead = in}, out);
                CHECK(message_of(outcome).empty());
                CHECK((outcome.body == body));
            }
        }
    }
}

}  // namespace
}  // namespace prebake::layer::test::zstd_source_test
