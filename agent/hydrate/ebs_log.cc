#include "agent/hydrate/ebs_log.h"

#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::hydrate {
namespace {

// amazon-ec2-utils, ebsnvme: the only description of it.
constexpr std::uint64_t kMagic = 0x3C23B510;
constexpr std::size_t kReadHistogram = 512;
constexpr std::uint64_t kMostBins = 64;
constexpr std::size_t kBinBytes = 24;
constexpr std::uint64_t kColdMicroseconds = 16'000;

std::uint64_t little_endian(std::span<const std::byte> page, std::size_t offset,
                            std::size_t bytes) {
    std::uint64_t number = 0;
    for (std::size_t i = bytes; i > 0; --i) {
        number = number << 8 | std::to_integer<std::uint64_t>(page[offset + i - 1]);
    }
    return number;
}

std::uint64_t cold_reads(const EbsLog& log) {
    std::uint64_t count = 0;
    for (const EbsLog::Bin& bin : log.read_latencies) {
        if (bin.lower >= kColdMicroseconds) count += bin.count;
    }
    return count;
}

std::uint64_t throttled(const EbsLog& log) {
    return log.over_volume_operations + log.over_volume_throughput + log.over_instance_operations +
           log.over_instance_throughput;
}

}  // namespace

EbsLog parse_ebs_log(std::span<const std::byte> page) {
    if (page.size() < kEbsLogBytes) throw Error(Errc::corrupt, "the EBS log page is too short");
    const auto number = [&](std::size_t offset) { return little_endian(page, offset, 8); };
    if (little_endian(page, 0, 4) != kMagic) {
        throw Error(Errc::corrupt, "the log page is not that of an EBS volume");
    }
    EbsLog log{.read_operations = number(8),
               .read_bytes = number(24),
               .over_volume_operations = number(56),
               .over_volume_throughput = number(64),
               .over_instance_operations = number(72),
               .over_instance_throughput = number(80),
               .queue_length = number(88),
               .read_latencies = {}};
    const std::uint64_t bins = number(kReadHistogram);
    if (bins > kMostBins) throw Error(Errc::corrupt, "the EBS log page counts too many bins");
    for (std::uint64_t i = 0; i < bins; ++i) {
        const std::size_t at = kReadHistogram + 8 + i * kBinBytes;
        EbsLog::Bin bin;
        bin.lower = number(at);
        bin.upper = number(at + 8);
        bin.count = little_endian(page, at + 16, 4);
        log.read_latencies.push_back(bin);
    }
    return log;
}

EbsActivity ebs_activity(const EbsLog& before, const EbsLog& after) {
    const auto grown = [](std::uint64_t from, std::uint64_t to) {
        return to >= from ? to - from : to;
    };
    return {.cold_reads = grown(cold_reads(before), cold_reads(after)),
            .throttled = grown(throttled(before), throttled(after))};
}

EbsLog read_ebs_log(int device, const std::string& name) {
    alignas(4096) std::array<std::byte, kEbsLogBytes> page{};
    constexpr std::uint8_t kGetLogPage = 0x02;
    constexpr std::uint32_t kLogPage = 0xD0;
    constexpr std::uint32_t kWords = kEbsLogBytes / 4 - 1;
    nvme_admin_cmd command{};
    command.opcode = kGetLogPage;
    command.nsid = 1;
    command.addr = reinterpret_cast<std::uintptr_t>(page.data());
    command.data_len = kEbsLogBytes;
    command.cdw10 = kLogPage | kWords << 16;
    const int status = ::ioctl(device, NVME_IOCTL_ADMIN_CMD, &command);
    if (status < 0 && (errno == EACCES || errno == EPERM)) {
        throw errno_error("cannot read the EBS log of", name);
    }
    if (status != 0) throw Error(Errc::unsupported, name + " has no EBS log");
    return parse_ebs_log(page);
}

}  // namespace prebake::hydrate
