#include "agent/layer/decompress.h"

#include <utility>

#include "agent/layer/gzip_source.h"
#include "agent/layer/read_ahead.h"
#include "agent/layer/zstd_source.h"

namespace prebake::layer {
namespace {

class PlainSource : public Source {
  public:
    explicit PlainSource(ReadAhead from) : from_(std::move(from)) {}
    std::size_t read(std::span<std::byte> buffer) override { return from_.read(buffer); }

  private:
    ReadAhead from_;
};

bool begins_with_gzip(std::span<const std::byte> bytes) {
    return bytes.size() >= 3 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b} &&
           bytes[2] == std::byte{8};
}

}  // namespace

Compression compression_of(std::span<const std::byte> beginning) {
    if (begins_with_gzip(beginning)) return Compression::gzip;
    switch (zstd_frame_of(beginning)) {
        case ZstdFrame::zstandard:
            return Compression::zstd;
        case ZstdFrame::skippable:  // only with the size that follows
            return beginning.size() < kCompressionMagicBytes ? Compression::none
                                                             : Compression::zstd;
        case ZstdFrame::other:
            break;
    }
    return Compression::none;
}

std::unique_ptr<Source> decompressed(Source& compressed, const DecompressionLimits& limits) {
    ReadAhead from(compressed, limits.read_ahead);
    switch (compression_of(from.peek(kCompressionMagicBytes))) {
        case Compression::gzip:
            return gunzipped(std::move(from));
        case Compression::zstd:
            return unzstd(std::move(from), limits.zstd_window_log);
        case Compression::none:
            break;
    }
    return std::make_unique<PlainSource>(std::move(from));
}

std::unique_ptr<Source> tar_of_layer(Source& stored, std::string_view media_type) {
    constexpr int kWindowLog = 25;
    const DecompressionLimits limits{.zstd_window_log = kWindowLog};
    if (media_type == "application/vnd.oci.image.layer.v1.tar") {
        return std::make_unique<PlainSource>(ReadAhead(stored, limits.read_ahead));
    }
    return decompressed(stored, limits);
}

}  // namespace prebake::layer
