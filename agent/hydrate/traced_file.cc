#include "agent/hydrate/traced_file.h"

namespace prebake::hydrate {

FileRanges ranges_of(const v1::TracedFile& file) {
    return read_runs(file.ranges(), kMaxFileBytes);
}

void set_ranges(const FileRanges& ranges, v1::TracedFile& file) {
    file.clear_ranges();
    write_runs(ranges, *file.mutable_ranges());
}

ChunkSet chunks_of(const v1::TracedVolume& volume) {
    return read_runs(volume.runs(), kMaxVolumeChunks);
}

void set_chunks(const ChunkSet& chunks, v1::TracedVolume& volume) {
    volume.set_chunk_bytes(kChunkBytes);
    volume.clear_runs();
    write_runs(chunks, *volume.mutable_runs());
}

bool is_hotter(const v1::TracedFile& a, const v1::TracedFile& b) {
    if (a.recordings() != b.recordings()) return a.recordings() > b.recordings();
    return a.seconds() < b.seconds();
}

}  // namespace prebake::hydrate
