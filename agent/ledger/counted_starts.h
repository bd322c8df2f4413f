#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

/// Limit of the counted starts; a node runs fewer containers at a time. Beyond this limit the
/// oldest are dropped, and count again if their snapshots still exist at the next listing.
inline constexpr std::size_t kMaxCountedStarts = 8192;

/// The snapshots of the starts that were counted, by (namespace, key). Kept while they exist, so
/// that no start counts twice.
class CountedStarts {
  public:
    void load(const google::protobuf::RepeatedPtrField<v1::CountedStart>& starts);
    /// The oldest first.
    void store(google::protobuf::RepeatedPtrField<v1::CountedStart>& starts) const;
    void clear();

    void add(const std::string& ns, const std::string& key);
    bool contains(const std::string& ns, const std::string& key) const;
    /// remove(), rename() and retain() return whether they changed something.
    bool remove(const std::string& ns, const std::string& key);
    bool rename(const std::string& ns, const std::string& key, const std::string& name);
    /// Drops the starts of the namespace for whose keys `exists` is false.
    bool retain(const std::string& ns, const std::function<bool(const std::string& key)>& exists);
    /// The keys of the namespace that end with `ending`.
    std::vector<std::string> keys_ending(const std::string& ns, std::string_view ending) const;

  private:
    using Start = std::pair<std::string, std::string>;  ///< (namespace, key)
    struct StartHash {
        std::size_t operator()(const Start& start) const {
            return std::hash<std::string>()(start.second);
        }
    };

    std::unordered_map<Start, std::uint64_t, StartHash> numbers_;
    std::map<std::uint64_t, const Start*> in_order_;
    std::uint64_t next_ = 0;
};

}  // namespace prebake::ledger
