#include "agent/identity/secrets/gunzip.h"

#include <algorithm>
#include <cstring>

#include "agent/base/error.h"

namespace prebake::identity::secrets {
namespace {

constexpr std::size_t kGzipInput = 64UL << 10;
/// Of inflateInit2(): the largest window, and gzip alone.
constexpr int kWindowBits = 15 + 16;

}  // namespace

bool is_gzip(std::string_view beginning) {
    constexpr std::size_t kHeader = 10;
    constexpr unsigned kReservedFlags = 0xe0;
    // 8 is "deflate", the only method.
    return beginning.size() >= kHeader && beginning.starts_with("\x1f\x8b\x08") &&
           (static_cast<unsigned char>(beginning[3]) & kReservedFlags) == 0;
}

GunzippedBytes::GunzippedBytes(ByteSource& compressed)
    : compressed_(compressed), input_(kGzipInput) {
    if (::inflateInit2(&stream_, kWindowBits) != Z_OK)
        throw Error(Errc::internal, "zlib cannot be initialized");
}

GunzippedBytes::~GunzippedBytes() {
    ::inflateEnd(&stream_);
}

void GunzippedBytes::rewind() {
    compressed_.rewind();
    ::inflateReset(&stream_);
    stream_.avail_in = 0;
    taken_ = expanded_ = 0;
    is_in_member_ = true;
    is_raw_ = is_damaged_ = expands_too_much_ = false;
}

/// Reads more input behind what is left of it. False if nothing is left.
bool GunzippedBytes::refill() {
    if (stream_.avail_in > 0) std::memmove(input_.data(), stream_.next_in, stream_.avail_in);
    const std::size_t got =
        compressed_.read(input_.data() + stream_.avail_in, input_.size() - stream_.avail_in);
    taken_ += got;
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in += static_cast<uInt>(got);
    return stream_.avail_in > 0;
}

std::size_t GunzippedBytes::pass_on(char* to, std::size_t size) {
    if (stream_.avail_in == 0) return compressed_.read(to, size);
    const std::size_t count = std::min<std::size_t>(size, stream_.avail_in);
    std::memcpy(to, stream_.next_in, count);
    stream_.next_in += count;
    stream_.avail_in -= static_cast<uInt>(count);
    return count;
}

/// Another member may follow, or something else.
void GunzippedBytes::end_member() {
    ::inflateReset(&stream_);
    constexpr uInt kMagic = 2;
    while (stream_.avail_in < kMagic) {
        const uInt before = stream_.avail_in;
        if (!refill() || stream_.avail_in == before) break;
    }
    is_in_member_ =
        stream_.avail_in >= kMagic && stream_.next_in[0] == 0x1f && stream_.next_in[1] == 0x8b;
    is_raw_ = !is_in_member_;
}

std::size_t GunzippedBytes::read(char* to, std::size_t size) {
    while (!expands_too_much_) {
        if (is_raw_) return pass_on(to, size);
        if (stream_.avail_in == 0 && !refill()) {
            is_damaged_ = is_in_member_;
            return 0;
        }
        stream_.next_out = reinterpret_cast<Bytef*>(to);
        stream_.avail_out = static_cast<uInt>(size);
        const int result = ::inflate(&stream_, Z_NO_FLUSH);
        const std::size_t got = size - stream_.avail_out;
        expanded_ += got;
        if (result == Z_STREAM_END) {
            end_member();
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            is_raw_ = is_damaged_ = true;
        }
        const std::uint64_t used = taken_ - stream_.avail_in;
        expands_too_much_ = expanded_ > kFreeBytes && expanded_ / kMaxRatio > used;
        if (got > 0) return got;
    }
    return 0;
}

}  // namespace prebake::identity::secrets
