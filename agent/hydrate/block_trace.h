#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/file.h"
#include "agent/hydrate/chunk_set.h"

/// What is read of disks, by the kernel's tracepoint block_rq_issue.
namespace prebake::hydrate {

/// A request to a disk. Partitions have the numbers of their disk here.
struct BlockRead {
    dev_t disk = 0;
    std::uint64_t first_sector = 0;  ///< of 512 bytes
    std::uint64_t sectors = 0;

    bool operator==(const BlockRead&) const = default;
};

/// A line of trace_pipe; nothing if it is no read. Pure.
std::optional<BlockRead> parse_block_read(std::string_view line);

/// How many events the line says were lost, because nobody read them in time. Pure.
std::uint64_t lost_events_in(std::string_view line);

/// Runs of sectors that were read, by disk.
using SectorsRead = std::map<dev_t, ChunkSet>;

/// Part of a disk, in sectors.
struct DiskArea {
    dev_t disk = 0;
    std::uint64_t first_sector = 0;
    std::uint64_t sectors = 0;
};

/// Where a device with this number is: of a partition, its place on its disk. Nothing if its
/// requests do not show: for example, a device of the device mapper. `sys` is /sys.
std::optional<DiskArea> area_of(dev_t number, const std::filesystem::path& sys = "/sys");

/// The chunks of a device in which something was read. Pure.
ChunkSet chunks_in(const SectorsRead& read, const DiskArea& area);

/// An instance of ours of the kernel's tracing: it does not touch what others trace.
class BlockTrace {
  public:
    /// Mounts tracefs if it is not mounted. Removes an instance that an earlier process left.
    /// @throws Error unsupported if the kernel has no tracing; permission_denied, io; conflict if
    /// another process uses it.
    explicit BlockTrace(const std::filesystem::path& runtime,
                        std::filesystem::path tracefs = "/sys/kernel/tracing");
    /// Removes the instance.
    ~BlockTrace();
    BlockTrace(const BlockTrace&) = delete;
    BlockTrace& operator=(const BlockTrace&) = delete;

    /// Follows what is read until the deadline, or until a stop is requested. @throws Error io.
    void follow(std::chrono::steady_clock::time_point deadline, const std::stop_token& stop);

    const SectorsRead& read() const { return read_; }
    std::uint64_t lost_events() const { return lost_events_; }

  private:
    bool take_more();
    void take(std::string_view text);

    FileLock lock_;
    std::filesystem::path instance_;
    FileDescriptor pipe_;
    std::string rest_;  // of a line that is not complete
    SectorsRead read_;
    std::uint64_t lost_events_ = 0;
};

}  // namespace prebake::hydrate
