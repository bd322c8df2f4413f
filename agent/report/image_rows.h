#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "proto/prebake/v1/node.pb.h"

namespace prebake::report {

struct ImageCounts {
    std::uint64_t hits = 0;
    std::uint64_t partials = 0;
    std::uint64_t misses = 0;
    std::uint64_t bytes_pulled = 0;
};

struct ImageRow {
    std::string name;
    std::string ns;
    ImageCounts counts;
};

/// Which images have series of their own in the metrics, and what those show. Prometheus takes a
/// counter that falls for one that was set back to 0, and counts all of it anew: so what has a row
/// keeps it, and no row falls as long as the claim is the same. Not thread-safe.
class ImageRows {
  public:
    static constexpr std::size_t kMaxRows = 200;

    explicit ImageRows(std::size_t max_rows = kMaxRows) : max_rows_(max_rows) {}

    /// The rows of `ledger`, which is not older than that of the call before: one for a name in a
    /// namespace, however many digests it has meant, and behind them "other", the rest of all
    /// counts, if there is more than the rows. While there is room, the baked images come first,
    /// used or not, then the others as they were first seen.
    std::vector<ImageRow> update(const v1::Ledger& ledger);

  private:
    /// Name, namespace.
    using Key = std::pair<std::string, std::string>;

    const std::size_t max_rows_;
    std::string claim_;
    std::map<Key, ImageCounts> shown_;
    bool has_other_ = false;
};

}  // namespace prebake::report
