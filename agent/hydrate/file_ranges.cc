#include "agent/hydrate/file_ranges.h"

namespace prebake::hydrate {

FileRanges without_small_gaps(const FileRanges& ranges, std::uint64_t gap) {
    FileRanges filled;
    std::uint64_t end = 0;
    bool is_first = true;
    for (const ChunkRun& run : ranges.runs()) {
        if (!is_first && run.first - end <= gap) {
            filled.add(ChunkRun{.first = end, .count = run.first - end});
        }
        filled.add(run);
        end = run.first + run.count;
        is_first = false;
    }
    return filled;
}

FileRanges with_at_most(const FileRanges& ranges, std::size_t limit) {
    FileRanges fewer = ranges;
    for (std::uint64_t gap = 1; fewer.runs().size() > limit && gap < kMaxFileBytes; gap *= 2) {
        fewer = without_small_gaps(fewer, gap);
    }
    return fewer;
}

}  // namespace prebake::hydrate
