#include "agent/layer/sparse_map.h"

#include <algorithm>
#include <limits>
#include <string>

#include "agent/base/error.h"
#include "agent/layer/tar_numbers.h"

namespace prebake::layer {
namespace {

Error bad_map(const std::string& what) {
    return Error(Errc::corrupt, "the map of a sparse file in the tar is damaged: " + what);
}

/// A number of runs: twice as many numbers must still be countable.
std::int64_t run_count(std::string_view text) {
    const auto count = decimal_number(text);
    if (!count || *count < 0 || *count > std::numeric_limits<std::int64_t>::max() / 2) {
        throw bad_map("it has no number of runs");
    }
    return *count;
}

SparseRun run_of(std::string_view offset, std::string_view length) {
    const auto at = decimal_number(offset);
    const auto bytes = decimal_number(length);
    if (!at || !bytes) throw bad_map("a run is no number");
    return {*at, *bytes};
}

/// The lines of the blocks in front of a sparse file's contents.
class MapLines {
  public:
    explicit MapLines(const ReadBlock& next_contents) : next_contents_(next_contents) {}

    /// Reads blocks until `count` lines are there that next() has not returned.
    void require(std::int64_t count) {
        while (lines_ < count) {
            if (text_.size() + 512 > kMaxSparseMapBytes) throw bad_map("it is longer than 1 MiB");
            const std::string_view block = next_contents_();
            lines_ += std::ranges::count(block, '\n');
            text_ += block;
        }
    }

    std::string_view next() {
        const std::size_t end = text_.find('\n', begin_);
        const std::string_view line = std::string_view(text_).substr(begin_, end - begin_);
        begin_ = end + 1;
        --lines_;
        return line;
    }

  private:
    const ReadBlock& next_contents_;
    std::string text_;
    std::size_t begin_ = 0;
    std::int64_t lines_ = 0;
};

/// Runs in a header or in a block behind it: 24 bytes each, then a byte that says whether another
/// block follows.
void add_old_runs(std::string_view runs, SparseMap& map) {
    constexpr std::size_t kNumber = 12;
    for (; runs.size() > 2 * kNumber && runs.front() != '\0'; runs.remove_prefix(2 * kNumber)) {
        const auto offset = header_number(runs.substr(0, kNumber));
        const auto length = header_number(runs.substr(kNumber, kNumber));
        if (!offset || !length) throw bad_map("a run is no number");
        map.push_back({*offset, *length});
    }
}

}  // namespace

SparseMap sparse_map_of(const PaxRecords& records) {
    const std::int64_t count = run_count(pax_value(records, "GNU.sparse.numblocks"));
    std::string_view text = pax_value(records, "GNU.sparse.map");
    const std::int64_t numbers = text.empty() ? 0 : std::ranges::count(text, ',') + 1;
    if (numbers != 2 * count) throw bad_map("it has another number of runs than it says");
    const auto take = [&] {
        const std::string_view number = text.substr(0, text.find(','));
        text.remove_prefix(std::min(text.size(), number.size() + 1));
        return number;
    };
    SparseMap map;
    map.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
        const std::string_view offset = take();
        map.push_back(run_of(offset, take()));
    }
    return map;
}

SparseMap read_sparse_map(const ReadBlock& next_contents) {
    MapLines lines(next_contents);
    lines.require(1);
    const std::int64_t count = run_count(lines.next());
    lines.require(2 * count);
    SparseMap map;
    map.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
        const std::string_view offset = lines.next();
        map.push_back(run_of(offset, lines.next()));
    }
    return map;
}

SparseMap read_old_sparse_map(std::string_view header, const ReadBlock& next_block) {
    constexpr std::size_t kRunsInHeader = 386;
    constexpr std::size_t kHeaderArea = 4 * 24 + 1;
    constexpr std::size_t kBlockArea = 21 * 24 + 1;
    SparseMap map;
    std::string_view area = header.substr(kRunsInHeader, kHeaderArea);
    for (std::size_t bytes = area.size();; bytes += 512) {
        if (bytes >= kMaxSparseMapBytes) throw bad_map("it is longer than 1 MiB");
        add_old_runs(area, map);
        if (area.back() == '\0') return map;
        area = next_block().substr(0, kBlockArea);
    }
}

bool is_valid(const SparseMap& map, std::int64_t size) {
    std::int64_t end = 0;
    for (const SparseRun& run : map) {
        if (run.offset < 0 || run.length < 0 ||
            run.offset > std::numeric_limits<std::int64_t>::max() - run.length) {
            return false;
        }
        if (run.offset < end || run.offset + run.length > size) return false;
        end = run.offset + run.length;
    }
    return size >= 0;
}

std::int64_t data_size(const SparseMap& map) {
    std::int64_t size = 0;
    for (const SparseRun& run : map) size += run.length;
    return size;
}

}  // namespace prebake::layer
