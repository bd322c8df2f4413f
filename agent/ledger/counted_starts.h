#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/ledger/snapshot_table.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

/// Limit of the counted starts; a node runs fewer containers at a time. Beyond this limit the
/// oldest are dropped, and count again if their snapshots still exist at the next listing.
inline constexpr std::size_t kMaxCountedStarts = 8192;

/// The snapshots of the starts that were counted. Kept while they exist, so that no start counts
/// twice.
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
    SnapshotTable<std::monostate> starts_{kMaxCountedStarts};
};

}  // namespace prebake::ledger
