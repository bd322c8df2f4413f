#include "agent/layer/zstd_text.h"

#include <zstd.h>

#include "agent/base/error.h"

namespace prebake::layer {

std::string zstd_compressed(std::string_view text) {
    std::string frame(::ZSTD_compressBound(text.size()), '\0');
    const std::size_t bytes =
        ::ZSTD_compress(frame.data(), frame.size(), text.data(), text.size(), ::ZSTD_maxCLevel());
    if (::ZSTD_isError(bytes) != 0) throw Error(Errc::internal, "zstd cannot compress");
    frame.resize(bytes);
    return frame;
}

std::string zstd_decompressed(std::string_view frame, std::size_t limit) {
    const unsigned long long size = ::ZSTD_getFrameContentSize(frame.data(), frame.size());
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) {
        throw Error(Errc::corrupt, "it is not a zstd frame with its size");
    }
    if (size > limit) {
        throw Error(Errc::too_large, "it has more than " + std::to_string(limit) + " bytes");
    }
    std::string text(size, '\0');
    const std::size_t bytes =
        ::ZSTD_decompress(text.data(), text.size(), frame.data(), frame.size());
    if (::ZSTD_isError(bytes) != 0 || bytes != size) {
        throw Error(Errc::corrupt, "its zstd frame is damaged");
    }
    return text;
}

}  // namespace prebake::layer
