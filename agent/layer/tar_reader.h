#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/stream.h"
#include "agent/layer/pax_records.h"
#include "agent/layer/sparse_map.h"
#include "agent/layer/tar_entry.h"

namespace prebake::layer {

/// A run of a file's contents. What lies between runs and after the last is zeros (sparse files).
struct Extent {
    std::int64_t offset = 0;
    std::span<const std::byte> bytes;  ///< empty: there are no more
};

/// Reads a tar by the rules of Go's archive/tar, because what containerd accepts and refuses is
/// what counts: V7, USTAR, STAR, PAX, GNU long names, GNU sparse files (all four formats), numbers
/// in base 256. A PAX header for the whole archive is an entry of its own and has no effect on
/// others. The archive ends with two blocks of zeros, or where the stream ends between two entries.
///
/// Memory: one buffer, and at most 1 MiB each for extended headers, long names and sparse maps.
class TarReader {
  public:
    /// Limit of an extended header and of a long name.
    static constexpr std::size_t kMaxExtensionBytes = 1 << 20;

    explicit TarReader(Source& source);

    /// The next entry, or nothing at the end of the archive. It is valid until the next call.
    /// Contents that were not read are skipped.
    /// @throws Error corrupt; and what the source throws.
    const TarEntry* next();

    /// The next run of the entry's contents. Its bytes are valid until the next call of any kind.
    /// Entries other than files, and of unknown type, have none.
    /// @throws Error corrupt if the archive ends before, or has other data than its map says.
    Extent next_extent();

    /// Reads what is left of the stream: the diffID counts it.
    void drain();

  private:
    std::size_t buffered() const { return end_ - begin_; }
    bool fill();
    std::string_view take_block();
    std::span<const std::byte> take(std::int64_t limit);
    std::string take_extension();
    bool skip_to_next_header();
    bool read_header();
    void begin_contents();
    void finish_entry(const PaxRecords& pax);
    void begin_sparse(const PaxRecords& pax);
    void set_sparse(SparseMap map);
    Extent next_sparse_extent();

    Source& source_;
    std::unique_ptr<std::byte[]> buffer_;
    std::size_t begin_ = 0;  // what is read and not used yet
    std::size_t end_ = 0;

    TarEntry entry_;
    std::string header_;           // the block of entry_, kept only for old sparse files
    std::int64_t in_archive_ = 0;  // bytes of the contents that are still to be read
    std::int64_t padding_ = 0;     // behind them
    std::int64_t position_ = 0;    // in the file
    SparseMap map_;
    std::size_t run_ = 0;            // of map_
    std::int64_t run_position_ = 0;  // in that run
};

}  // namespace prebake::layer
