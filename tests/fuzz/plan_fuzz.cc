// What a hydrator reads before it reads a disk: a plan, superblocks, the list of mounts. The first
// byte chooses which.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/hydrate/chunk_set.h"
#include "agent/hydrate/documents.h"
#include "agent/hydrate/file_system.h"
#include "agent/hydrate/superblock.h"

namespace hydrate = prebake::hydrate;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

void check_plan(std::string_view text) {
    constexpr std::uint64_t kEnd = 1ULL << 40U;
    const prebake::v1::HydrationPlan plan = hydrate::parse_plan(text, "plan");
    for (const prebake::v1::PlannedVolume& volume : plan.volumes()) {
        for (const prebake::v1::PlannedPart& part : volume.parts()) {
            const hydrate::ChunkSet chunks = hydrate::read_runs(part.runs(), kEnd);
            for (const hydrate::ChunkRun& run : chunks.runs()) {
                require(run.count > 0 && run.first + run.count <= kEnd);
            }
            hydrate::Numbers written;
            hydrate::write_runs(chunks, written);
            require(hydrate::read_runs(written, kEnd).runs() == chunks.runs());
        }
    }
}

void check_superblock(std::string_view text) {
    const auto read = [text](std::uint64_t offset, std::span<std::byte> buffer) {
        if (offset >= text.size()) return std::size_t{0};
        const std::string_view rest = text.substr(offset, buffer.size());
        std::transform(rest.begin(), rest.end(), buffer.begin(),
                       [](char c) { return static_cast<std::byte>(c); });
        return rest.size();
    };
    const auto found = hydrate::read_superblock(read, hydrate::Detail::places);
    if (!found) return;
    require(found->uuid.size() == 36);
    for (const std::uint64_t inode : {0ULL, 1ULL, 2ULL, 128ULL, 1ULL << 40U, ~0ULL}) {
        static_cast<void>(found->inodes.place_of(inode));
    }
}

void check_mounts(std::string_view text) {
    for (const hydrate::Mount& mount : hydrate::parse_mounts(text)) {
        require(mount.number != 0 && !mount.type.empty());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    try {
        switch (data[0]) {
            case 'p':
                check_plan(text);
                break;
            case 's':
                check_superblock(text);
                break;
            case 'm':
                check_mounts(text);
                break;
            default:
                break;
        }
    } catch (const prebake::Error&) {
    }
    return 0;
}
