#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "agent/base/slots.h"

namespace prebake::registry {

class BlobConnections;

/// Bytes of a blob that have arrived before their turn. Its memory goes back to where it is from.
struct Block {
    static constexpr std::size_t kBytes = 1UL << 20;
    struct GiveBack {
        BlobConnections* owner;
        void operator()(std::byte* memory) const;
    };

    std::unique_ptr<std::byte[], GiveBack> bytes;  ///< kBytes of them
    std::size_t size = 0;                          ///< how many are of the blob
};

/// What all downloads share: the connections that transfer blobs, and the memory for what large
/// blobs get ahead of their turn. Thread-safe. It lives longer than its blocks.
class BlobConnections {
  public:
    /// At most `count` connections at a time, and about `memory` bytes.
    BlobConnections(std::size_t count, std::uint64_t memory)
        : slots_(count), most_blocks_(memory / Block::kBytes) {}
    BlobConnections(const BlobConnections&) = delete;
    BlobConnections& operator=(const BlobConnections&) = delete;
    ~BlobConnections() = default;

    Slots& slots() { return slots_; }
    /// Bytes, in whole blocks.
    std::uint64_t memory() const { return most_blocks_ * Block::kBytes; }

    /// A block to be filled; nothing if all memory is in use.
    std::optional<Block> try_block() {
        const std::scoped_lock lock(mutex_);
        if (in_use_ >= most_blocks_) return std::nullopt;
        return block();
    }
    /// A block that is needed now, even if all memory is in use. Each download may have one.
    Block needed_block() {
        const std::scoped_lock lock(mutex_);
        return block();
    }

  private:
    friend Block::GiveBack;

    Block block() {
        std::unique_ptr<std::byte[]> bytes;
        if (unused_.empty()) {
            bytes = std::make_unique_for_overwrite<std::byte[]>(Block::kBytes);
        } else {
            bytes = std::move(unused_.back());
            unused_.pop_back();
        }
        ++in_use_;
        return {.bytes = {bytes.release(), Block::GiveBack{this}}};
    }

    void take_back(std::unique_ptr<std::byte[]> bytes) {
        const std::scoped_lock lock(mutex_);
        // Kept, because pages that are new to a process cost as much as copying them.
        if (in_use_-- <= most_blocks_) unused_.push_back(std::move(bytes));
    }

    Slots slots_;
    const std::uint64_t most_blocks_;
    std::mutex mutex_;
    std::uint64_t in_use_ = 0;
    std::vector<std::unique_ptr<std::byte[]>> unused_;
};

inline void Block::GiveBack::operator()(std::byte* memory) const {
    owner->take_back(std::unique_ptr<std::byte[]>(memory));
}

}  // namespace prebake::registry
