#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/sha256.h"
#include "agent/base/stream.h"

namespace prebake::layer {

/// Passes the bytes of another stream on, and hashes them.
class HashingSource : public Source {
  public:
    /// `from` must live longer.
    explicit HashingSource(Source& from) : from_(from) {}

    std::size_t read(std::span<std::byte> buffer) override;
    /// The number of bytes that were read so far.
    std::uint64_t size() const { return size_; }
    /// The hash of the bytes that were read so far. Call once, after the last read.
    Sha256Hash finish() { return hash_.finish(); }

  private:
    Source& from_;
    Sha256 hash_;
    std::uint64_t size_ = 0;
};

}  // namespace prebake::layer
