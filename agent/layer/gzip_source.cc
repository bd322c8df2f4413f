#include "agent/layer/gzip_source.h"

#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "agent/layer/damaged_part.h"
#include "agent/layer/gzip_header.h"

namespace prebake::layer {
namespace {

/// ISA-L counts in 32 bits.
constexpr std::size_t kMaxOutput = 1UL << 30;

const char* cause_of(int result) {
    switch (result) {
        case ISAL_INVALID_BLOCK:
            return "invalid block";
        case ISAL_INVALID_SYMBOL:
            return "invalid code";
        case ISAL_INVALID_LOOKBACK:
            return "a distance points before the first byte";
        case ISAL_INCORRECT_CHECKSUM:
            return "wrong checksum or length";
        default:
            return "invalid data";
    }
}

class GzipSource : public Source {
  public:
    explicit GzipSource(ReadAhead compressed)
        : compressed_(std::move(compressed)), state_(std::make_unique<inflate_state>()) {
        ::isal_inflate_init(state_.get());
        // Headers are ours: those of ISA-L differ from Go's in what they accept.
        state_->crc_flag = ISAL_GZIP_NO_HDR_VER;
    }

    std::size_t read(std::span<std::byte> buffer) override {
        std::size_t done = 0;
        while (done < buffer.size()) {
            if (!is_in_member_ && !begin_member()) break;
            done += inflate(buffer.subspan(done));
        }
        return done;
    }

  private:
    bool begin_member() {
        begin_ = compressed_.position();
        is_in_member_ = take_gzip_header(compressed_) == GzipMember::begins;
        return is_in_member_;
    }

    std::size_t inflate(std::span<std::byte> buffer) {
        const std::span<const std::byte> input = compressed_.peek();
        const auto room = static_cast<std::uint32_t>(std::min(buffer.size(), kMaxOutput));
        // ISA-L does not write into its input.
        state_->next_in = reinterpret_cast<std::uint8_t*>(const_cast<std::byte*>(input.data()));
        state_->avail_in = static_cast<std::uint32_t>(input.size());
        state_->next_out = reinterpret_cast<std::uint8_t*>(buffer.data());
        state_->avail_out = room;
        const int result = ::isal_inflate(state_.get());
        compressed_.take(input.size() - state_->avail_in);
        if (result < 0) throw damaged_part(kGzipMember, begin_, cause_of(result));
        const std::size_t got = room - state_->avail_out;
        if (state_->block_state == ISAL_BLOCK_FINISH) {
            is_in_member_ = false;
            ::isal_inflate_reset(state_.get());
        } else if (input.empty() && got == 0) {
            throw truncated_part(kGzipMember, begin_, compressed_.position());
        }
        return got;
    }

    ReadAhead compressed_;
    std::unique_ptr<inflate_state> state_;
    bool is_in_member_ = false;
    std::uint64_t begin_ = 0;  // of the member
};

}  // namespace

std::unique_ptr<Source> gunzipped(ReadAhead compressed) {
    return std::make_unique<GzipSource>(std::move(compressed));
}

}  // namespace prebake::layer
