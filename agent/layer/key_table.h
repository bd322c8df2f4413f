#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace prebake::layer {

/// A map from hashes to small values: 8 bytes and those of the value for each slot, of which up to
/// three quarters are used. Nothing is ever removed.
template <typename Value>
class KeyTable {
  public:
    /// Null if the key is not there. Valid until the next at().
    Value* find(std::uint64_t key) {
        if (keys_.empty()) return nullptr;
        const std::size_t slot = slot_of(usable(key));
        return keys_[slot] == kFree ? nullptr : &values_[slot];
    }

    /// The value of the key; it is added if it is not there. Valid until the next at().
    Value& at(std::uint64_t key) {
        if (used_ * 4 >= keys_.size() * 3) grow();
        const std::size_t slot = slot_of(usable(key));
        if (keys_[slot] == kFree) {
            keys_[slot] = usable(key);
            ++used_;
        }
        return values_[slot];
    }

  private:
    static constexpr std::uint64_t kFree = 0;
    static constexpr std::size_t kSmallest = 1024;

    static std::uint64_t usable(std::uint64_t key) { return key == kFree ? 1 : key; }

    /// That of the key, or the free one that it would get.
    std::size_t slot_of(std::uint64_t key) const {
        std::size_t slot = key & (keys_.size() - 1);
        while (keys_[slot] != kFree && keys_[slot] != key) slot = (slot + 1) & (keys_.size() - 1);
        return slot;
    }

    void grow() {
        KeyTable larger;
        larger.keys_.resize(keys_.empty() ? kSmallest : keys_.size() * 2, kFree);
        larger.values_.resize(larger.keys_.size());
        for (std::size_t i = 0; i < keys_.size(); ++i) {
            if (keys_[i] == kFree) continue;
            const std::size_t slot = larger.slot_of(keys_[i]);
            larger.keys_[slot] = keys_[i];
            larger.values_[slot] = std::move(values_[i]);
        }
        larger.used_ = used_;
        *this = std::move(larger);
    }

    std::vector<std::uint64_t> keys_;  // a power of two of them
    std::vector<Value> values_;
    std::size_t used_ = 0;
};

}  // namespace prebake::layer
