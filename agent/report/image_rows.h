#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
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
    std::string platform;
    ImageCounts counts;
};

/// Decides which images have their own series in the metrics, and their values. Prometheus treats a
/// falling counter as a reset to 0 and counts its whole value again. Therefore an image with a row
/// keeps it, and no row falls as long as the claim is the same. Not thread-safe.
class ImageRows {
  public:
    static constexpr std::size_t kMaxRows = 200;

    explicit ImageRows(std::size_t max_rows = kMaxRows) : max_rows_(max_rows) {}

    /// The rows of `ledger`, which must not be older than in the previous call. There is one row
    /// per name, namespace and platform, even if the name had several digests, and a last row
    /// "other" with the remaining counts if there are more images than rows. Baked images get rows
    /// first, used or not, then the others in the order in which they were first seen.
    std::vector<ImageRow> update(const v1::Ledger& ledger);

  private:
    /// Name, namespace and platform.
    using Key = std::tuple<std::string, std::string, std::string>;

    const std::size_t max_rows_;
    std::string claim_;
    std::map<Key, ImageCounts> shown_;
    bool has_other_ = false;
};

}  // namespace prebake::report
