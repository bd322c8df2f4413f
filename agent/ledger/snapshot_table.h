#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace prebake::ledger {

/// (namespace, key)
using SnapshotKey = std::pair<std::string, std::string>;

/// Values of snapshots, up to a limit. Beyond it the oldest are dropped.
template <typename Value>
class SnapshotTable {
  public:
    explicit SnapshotTable(std::size_t limit) : limit_(limit) {}
    ~SnapshotTable() = default;
    // by_age_ refers to entries_.
    SnapshotTable(const SnapshotTable&) = delete;
    SnapshotTable& operator=(const SnapshotTable&) = delete;

    /// Null if there is none. Valid until it is removed.
    Value* find(const SnapshotKey& key) {
        const auto entry = entries_.find(key);
        return entry == entries_.end() ? nullptr : &entry->second.value;
    }
    const Value* find(const SnapshotKey& key) const {
        const auto entry = entries_.find(key);
        return entry == entries_.end() ? nullptr : &entry->second.value;
    }

    /// Puts it in as the newest, in place of the value that the snapshot has.
    void put(const SnapshotKey& key, Value value) {
        remove(key);
        const auto entry = entries_.emplace(key, Entry{std::move(value), next_}).first;
        by_age_.emplace(next_++, &entry->first);
        if (by_age_.size() > limit_) remove(SnapshotKey(*by_age_.begin()->second));
    }

    /// Moves the value to another key, as the newest. False if there is none.
    bool rename(const SnapshotKey& key, const SnapshotKey& new_key) {
        const auto entry = entries_.find(key);
        if (entry == entries_.end()) return false;
        Value value = std::move(entry->second.value);
        remove(key);
        put(new_key, std::move(value));
        return true;
    }

    /// False if there is none.
    bool remove(const SnapshotKey& key) {
        const auto entry = entries_.find(key);
        if (entry == entries_.end()) return false;
        by_age_.erase(entry->second.number);
        entries_.erase(entry);
        return true;
    }

    /// Removes what `which` is true for, and returns whether that was anything.
    template <typename Which>
    bool remove_if(const Which& which) {
        return std::erase_if(entries_, [&](const auto& entry) {
                   if (!which(entry.first)) return false;
                   by_age_.erase(entry.second.number);
                   return true;
               }) > 0;
    }

    /// The oldest first.
    template <typename Visit>
    void for_each_key(const Visit& visit) const {
        for (const auto& [number, key] : by_age_) visit(*key);
    }

    void clear() {
        by_age_.clear();
        entries_.clear();
    }

  private:
    struct Entry {
        Value value;
        std::uint64_t number = 0;
    };

    std::size_t limit_;
    std::map<SnapshotKey, Entry> entries_;
    std::map<std::uint64_t, const SnapshotKey*> by_age_;
    std::uint64_t next_ = 0;
};

}  // namespace prebake::ledger
