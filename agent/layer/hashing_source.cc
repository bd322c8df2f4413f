#include "agent/layer/hashing_source.h"

namespace prebake::layer {

std::size_t HashingSource::read(std::span<std::byte> buffer) {
    const std::size_t got = from_.read(buffer);
    hash_.update(buffer.first(got));
    size_ += got;
    return got;
}

}  // namespace prebake::layer
