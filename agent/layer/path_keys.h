#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "agent/layer/key_table.h"

namespace prebake::layer {

/// Hashes that stand for paths. When a directory is removed with everything in it, its path and all
/// paths below get new ones: what is known by the old ones is forgotten, at no cost.
class PathKeys {
  public:
    static constexpr std::uint64_t kRoot = 0x9ae16a3b2f90404f;

    /// The same for a path whatever is removed.
    static std::uint64_t plain_child(std::uint64_t plain, std::string_view name) {
        return mixed(plain ^ std::hash<std::string_view>()(name));
    }

    /// That of `name` in the directory that has the key `directory`.
    std::uint64_t child(std::uint64_t directory, std::string_view name) {
        const std::uint64_t key = plain_child(directory, name);
        const std::uint32_t* removals = has_removed_ ? removals_.find(key) : nullptr;
        return removals == nullptr || *removals == 0 ? key : mixed(key + *removals);
    }

    /// `name` in that directory was removed.
    void remove(std::uint64_t directory, std::string_view name) {
        ++removals_.at(plain_child(directory, name));
        has_removed_ = true;
    }

  private:
    /// Each bit of the result depends on each bit of the argument (SplitMix64).
    static std::uint64_t mixed(std::uint64_t bits) {
        bits += 0x9e3779b97f4a7c15;
        bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
        bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
        return bits ^ (bits >> 31);
    }

    KeyTable<std::uint32_t> removals_;
    bool has_removed_ = false;
};

}  // namespace prebake::layer
