#include "agent/layer/read_ahead.h"

#include <algorithm>
#include <cstring>

namespace prebake::layer {

ReadAhead::ReadAhead(Source& from, std::size_t capacity) : from_(&from), buffer_(capacity) {}

std::span<const std::byte> ReadAhead::rest() const {
    return std::span(buffer_).subspan(begin_, end_ - begin_);
}

std::span<const std::byte> ReadAhead::peek(std::size_t count) {
    if (end_ - begin_ >= count || has_ended_) return rest();
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    while (end_ < count && !has_ended_) {
        const std::size_t got = from_->read(std::span(buffer_).subspan(end_));
        has_ended_ = got == 0;
        end_ += got;
    }
    return rest();
}

void ReadAhead::take(std::size_t count) {
    begin_ += count;
    position_ += count;
}

std::size_t ReadAhead::read(std::span<std::byte> buffer) {
    const std::size_t here = std::min(buffer.size(), end_ - begin_);
    if (here > 0) std::memcpy(buffer.data(), buffer_.data() + begin_, here);
    take(here);
    if (here == buffer.size() || has_ended_) return here;
    const std::size_t got = from_->read(buffer.subspan(here));
    has_ended_ = got == 0;
    position_ += got;
    return here + got;
}

}  // namespace prebake::layer
