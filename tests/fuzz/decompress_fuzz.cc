// Bytes come out the same wherever buffers end, and what zlib inflates, ISA-L inflates to the same
// bytes. The input is one byte that says how large buffers are, then the stream.
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/stream.h"
#include "agent/layer/decompress.h"

namespace {

using prebake::Errc;
using prebake::layer::DecompressionLimits;

/// A few bytes may become very many.
constexpr std::size_t kMaxOutput = 128UL << 10;
/// Smaller than containerd's: a fuzzer has little memory.
constexpr int kWindowLog = 20;

void require(bool condition) {
    if (!condition) std::abort();
}

class MemorySource : public prebake::Source {
  public:
    explicit MemorySource(std::string_view bytes) : bytes_(bytes) {}
    std::size_t read(std::span<std::byte> buffer) override {
        const std::size_t count = std::min(buffer.size(), bytes_.size());
        if (count > 0) std::memcpy(buffer.data(), bytes_.data(), count);
        bytes_.remove_prefix(count);
        return count;
    }

  private:
    std::string_view bytes_;
};

struct Outcome {
    std::string body;     // at most kMaxOutput
    std::string failure;  // empty: none
};

Outcome decompress(std::string_view compressed, std::size_t read_ahead, std::size_t buffer_size) {
    MemorySource source(compressed);
    Outcome outcome;
    try {
        const auto bytes = prebake::layer::decompressed(
            source, {.read_ahead = read_ahead, .zstd_window_log = kWindowLog});
        std::vector<std::byte> buffer(buffer_size);
        while (outcome.body.size() < kMaxOutput) {
            const std::size_t got = bytes->read(buffer);
            outcome.body.append(reinterpret_cast<const char*>(buffer.data()), got);
            if (got < buffer.size()) break;
        }
    } catch (const prebake::Error& error) {
        require(error.code() == Errc::corrupt || error.code() == Errc::too_large ||
                error.code() == Errc::unsupported);
        outcome.failure = error.message();
        require(!outcome.failure.empty());
    }
    outcome.body.resize(std::min(outcome.body.size(), kMaxOutput));
    return outcome;
}

/// The bytes of a raw deflate stream, if zlib accepts it. `used` is its length.
std::optional<std::string> inflated(std::string_view stream, std::size_t& used) {
    z_stream state{};
    require(::inflateInit2(&state, -15) == Z_OK);
    state.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(stream.data()));
    state.avail_in = static_cast<uInt>(stream.size());
    std::string body(kMaxOutput, '\0');
    state.next_out = reinterpret_cast<Bytef*>(body.data());
    state.avail_out = static_cast<uInt>(body.size());
    const int result = ::inflate(&state, Z_FINISH);
    body.resize(body.size() - state.avail_out);
    used = stream.size() - state.avail_in;
    ::inflateEnd(&state);
    if (result != Z_STREAM_END) return std::nullopt;
    return body;
}

void append_little_endian(std::string& out, std::uint32_t value) {
    for (int i = 0; i < 4; ++i, value >>= 8) out += static_cast<char>(value & 0xff);
}

/// A fuzzer cannot guess checksums: puts the right ones behind what zlib accepts.
void compare_with_zlib(std::string_view stream, std::size_t buffer_size) {
    std::size_t used = 0;
    const auto body = inflated(stream, used);
    if (!body) return;
    std::string member("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    member += stream.substr(0, used);
    append_little_endian(
        member, static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(body->data()),
                                                   static_cast<uInt>(body->size()))));
    append_little_endian(member, static_cast<std::uint32_t>(body->size()));
    const Outcome ours = decompress(member, 4096, buffer_size);
    require(ours.failure.empty());
    require(ours.body == *body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::size_t buffer_size = 1 + data[0] * 7UL;
    const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
    const Outcome large = decompress(stream, 16UL << 10, 16UL << 10);
    const Outcome small = decompress(stream, 8 + data[0], buffer_size);
    if (large.body.size() < kMaxOutput && small.body.size() < kMaxOutput) {
        // The first of several faults depends on how far libzstd looks ahead.
        require(large.failure.empty() == small.failure.empty());
        if (large.failure.empty()) require(large.body == small.body);
    }
    compare_with_zlib(stream, buffer_size);
    return 0;
}
