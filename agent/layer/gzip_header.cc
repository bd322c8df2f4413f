#include "agent/layer/gzip_header.h"

#include <isa-l/crc.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "agent/layer/damaged_part.h"

namespace prebake::layer {
namespace {

constexpr std::size_t kFixedBytes = 10;
/// Of a name or a comment, with the zero at its end.
constexpr std::size_t kMaxTextBytes = 512;

enum Flag : unsigned { header_crc = 1U << 1, extra = 1U << 2, name = 1U << 3, comment = 1U << 4 };

/// Takes bytes of one header, and computes their checksum.
class HeaderReader {
  public:
    explicit HeaderReader(ReadAhead& from) : from_(from), begin_(from.position()) {}

    unsigned byte() {
        const auto here = from_.peek();
        if (here.empty()) throw truncated_part(kGzipMember, begin_, from_.position());
        const auto value = std::to_integer<std::uint8_t>(here.front());
        from_.take(1);
        crc_ = ::crc32_gzip_refl(crc_, &value, 1);
        return value;
    }
    unsigned two_bytes() {
        const unsigned low = byte();
        return low | byte() << 8;
    }
    void skip_text() {
        for (std::size_t i = 0; i < kMaxTextBytes; ++i) {
            if (byte() == 0) return;
        }
        throw damaged("a name or comment in its header is longer than 511 bytes");
    }
    unsigned crc16() const { return crc_ & 0xffff; }
    Error damaged(const char* cause) const { return damaged_part(kGzipMember, begin_, cause); }
    Error not_a_header() const { return not_a_part(kGzipMember, begin_); }

  private:
    ReadAhead& from_;
    std::uint64_t begin_;
    std::uint32_t crc_ = 0;
};

}  // namespace

GzipMember take_gzip_header(ReadAhead& from) {
    if (from.peek().empty()) return GzipMember::none;
    HeaderReader header(from);
    std::array<unsigned, kFixedBytes> fixed{};
    for (unsigned& value : fixed) value = header.byte();
    if (fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != 8) {
        throw header.not_a_header();
    }
    const unsigned flags = fixed[3];
    if ((flags & extra) != 0) {
        for (unsigned left = header.two_bytes(); left > 0; --left) header.byte();
    }
    if ((flags & name) != 0) header.skip_text();
    if ((flags & comment) != 0) header.skip_text();
    if ((flags & header_crc) != 0) {
        const unsigned computed = header.crc16();
        if (header.two_bytes() != computed) throw header.damaged("wrong checksum of its header");
    }
    return GzipMember::begins;
}

}  // namespace prebake::layer
