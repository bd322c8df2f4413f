#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "agent/base/stream.h"

namespace prebake::layer {

/// A stream of which the next bytes can be seen before they are taken. Reads `capacity` bytes at a
/// time, and never more than that ahead.
class ReadAhead {
  public:
    /// `from` must live longer.
    ReadAhead(Source& from, std::size_t capacity);

    /// All bytes that are here and not taken yet, and at least `count` of them: `count` is at most
    /// the capacity. Fewer only at the end of the stream. Valid until the next call.
    /// @throws Error if the stream fails.
    std::span<const std::byte> peek(std::size_t count = 1);
    /// Takes the first `count` bytes of those that peek() has returned.
    void take(std::size_t count);
    /// Takes bytes as Source::read() does. Those that are not here yet go directly into `buffer`.
    std::size_t read(std::span<std::byte> buffer);
    /// How many bytes were taken so far.
    std::uint64_t position() const { return position_; }

  private:
    std::span<const std::byte> rest() const;

    Source* from_;
    std::vector<std::byte> buffer_;
    std::size_t begin_ = 0;  // of what is not taken yet
    std::size_t end_ = 0;
    bool has_ended_ = false;
    std::uint64_t position_ = 0;
};

}  // namespace prebake::layer
