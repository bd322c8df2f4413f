#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace prebake::ledger {

/// A sha256 digest as 32 bytes: a daemon that stays small keeps thousands of them, and as text each
/// takes four times that.
using DigestKey = std::array<std::uint64_t, 4>;

/// Of "sha256:<64 lower-case hex>"; nothing for any other text.
std::optional<DigestKey> parse_digest(std::string_view text);
/// The text that parse_digest() takes.
std::string to_text(const DigestKey& digest);

struct DigestKeyHash {
    /// A digest is its own best hash.
    std::size_t operator()(const DigestKey& key) const { return static_cast<std::size_t>(key[0]); }
};

using DigestSet = std::unordered_set<DigestKey, DigestKeyHash>;
template <typename Value>
using DigestMap = std::unordered_map<DigestKey, Value, DigestKeyHash>;

}  // namespace prebake::ledger
