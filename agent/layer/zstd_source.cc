#include "agent/layer/zstd_source.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "agent/base/error.h"
#include "agent/layer/damaged_part.h"

namespace prebake::layer {
namespace {

constexpr const char* kZstdFrame = "zstd frame";

class ZstdSource : public Source {
  public:
    ZstdSource(ReadAhead compressed, int max_window_log)
        : compressed_(std::move(compressed)),
          max_window_log_(max_window_log),
          context_(::ZSTD_createDCtx()) {
        if (!context_ || ::ZSTD_isError(::ZSTD_DCtx_setParameter(
                             context_.get(), ZSTD_d_windowLogMax, max_window_log)) != 0) {
            throw Error(Errc::internal, "zstd cannot be initialized");
        }
    }

    std::size_t read(std::span<std::byte> buffer) override {
        std::size_t done = 0;
        while (done < buffer.size()) {
            if (!is_in_frame_ && !begin_frame()) break;
            done += decompress(buffer.subspan(done));
        }
        return done;
    }

  private:
    struct Free {
        void operator()(ZSTD_DCtx* context) const { ::ZSTD_freeDCtx(context); }
    };

    /// False at the end of the stream. libzstd would also take frames of formats before 1.0.
    bool begin_frame() {
        begin_ = compressed_.position();
        const auto beginning = compressed_.peek(kZstdMagicBytes);
        if (beginning.empty()) return false;
        if (beginning.size() < kZstdMagicBytes) {
            throw truncated_part(kZstdFrame, begin_, begin_ + beginning.size());
        }
        if (zstd_frame_of(beginning) == ZstdFrame::other) throw not_a_part(kZstdFrame, begin_);
        is_in_frame_ = true;
        return true;
    }

    std::size_t decompress(std::span<std::byte> buffer) {
        const std::span<const std::byte> input = compressed_.peek();
        ZSTD_inBuffer in{input.data(), input.size(), 0};
        ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
        const std::size_t result = ::ZSTD_decompressStream(context_.get(), &out, &in);
        compressed_.take(in.pos);
        if (::ZSTD_isError(result) != 0) throw error_of(result);
        if (result == 0) {
            is_in_frame_ = false;
        } else if (input.empty() && out.pos == 0) {
            throw truncated_part(kZstdFrame, begin_, compressed_.position());
        }
        return out.pos;
    }

    Error error_of(std::size_t result) const {
        const ZSTD_ErrorCode code = ::ZSTD_getErrorCode(result);
        if (code == ZSTD_error_frameParameter_windowTooLarge) {
            return {Errc::too_large,
                    "the zstd frame at byte " + std::to_string(begin_) +
                        " needs a window larger than " +
                        std::to_string((1ULL << max_window_log_) >> 20) + " MiB",
                    "compress the layer without zstd's options --ultra and --long"};
        }
        if (code == ZSTD_error_dictionary_wrong) {
            return {Errc::unsupported,
                    "the zstd frame at byte " + std::to_string(begin_) + " needs a dictionary",
                    "compress the layer without one"};
        }
        if (code == ZSTD_error_memory_allocation) {
            return {Errc::internal, "there is not enough memory for the window of zstd data"};
        }
        // libzstd's name for it if a small frame has more bytes than it declares.
        const bool is_longer = code == ZSTD_error_dstSize_tooSmall;
        return damaged_part(
            kZstdFrame, begin_,
            ::ZSTD_getErrorString(is_longer ? ZSTD_error_corruption_detected : code));
    }

    ReadAhead compressed_;
    int max_window_log_;
    std::unique_ptr<ZSTD_DCtx, Free> context_;
    bool is_in_frame_ = false;
    std::uint64_t begin_ = 0;  // of the frame
};

}  // namespace

ZstdFrame zstd_frame_of(std::span<const std::byte> beginning) {
    if (beginning.size() < kZstdMagicBytes) return ZstdFrame::other;
    std::uint32_t magic = 0;
    for (std::size_t i = kZstdMagicBytes; i > 0; --i) {
        magic = magic << 8 | std::to_integer<std::uint32_t>(beginning[i - 1]);
    }
    if (magic == ZSTD_MAGICNUMBER) return ZstdFrame::zstandard;
    if ((magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START) {
        return ZstdFrame::skippable;
    }
    return ZstdFrame::other;
}

std::unique_ptr<Source> unzstd(ReadAhead compressed, int max_window_log) {
    return std::make_unique<ZstdSource>(std::move(compressed), max_window_log);
}

}  // namespace prebake::layer
