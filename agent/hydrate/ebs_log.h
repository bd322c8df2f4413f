#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace prebake::hydrate {

inline constexpr std::size_t kEbsLogBytes = 4096;

/// Log page 0xD0 of the NVMe device of an EBS volume: totals since the volume was attached.
struct EbsLog {
    struct Bin {
        std::uint64_t lower = 0;  ///< microseconds
        std::uint64_t upper = 0;
        std::uint64_t count = 0;

        bool operator==(const Bin&) const = default;
    };

    std::uint64_t read_operations = 0;
    std::uint64_t read_bytes = 0;
    /// Microseconds over the limits of operations and throughput, of the volume and the instance.
    std::uint64_t over_volume_operations = 0;
    std::uint64_t over_volume_throughput = 0;
    std::uint64_t over_instance_operations = 0;
    std::uint64_t over_instance_throughput = 0;
    std::uint64_t queue_length = 0;  ///< now
    std::vector<Bin> read_latencies;
};

/// Pure. @throws Error corrupt if it has another magic number, is shorter than kEbsLogBytes, or
/// counts more bins than there is room for.
EbsLog parse_ebs_log(std::span<const std::byte> page);

/// What happened between two samples.
struct EbsActivity {
    std::uint64_t cold_reads = 0;  ///< that took 16 ms and more
    std::uint64_t throttled = 0;   ///< microseconds over a limit
};

/// Pure. If a counter went back, the volume is another one, and `after` counts from zero.
EbsActivity ebs_activity(const EbsLog& before, const EbsLog& after);

/// From an open NVMe device: the disk, or a partition. Needs CAP_SYS_ADMIN.
/// @throws Error permission_denied; unsupported if the device has no such log; corrupt.
EbsLog read_ebs_log(int device, const std::string& name);

}  // namespace prebake::hydrate
