#include "agent/node/this_boot.h"

#include <google/protobuf/util/time_util.h>
#include <time.h>

#include "agent/base/file.h"

namespace prebake::node {

std::chrono::nanoseconds uptime() {
    timespec time{};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::string read_boot_id() {
    constexpr std::size_t kMaxBytes = 64;
    std::string id = read_file("/proc/sys/kernel/random/boot_id", kMaxBytes);
    while (!id.empty() && id.back() == '\n') id.pop_back();
    return id;
}

std::string ledger_claim(const v1::Claim& claim) {
    if (claim.state() != v1::Claim::CLAIMED) return "unclaimed";
    const v1::Instance& instance = claim.instance();
    const std::string& who = instance.id().empty() ? instance.hardware_uuid() : instance.id();
    return (who.empty() ? "unknown" : who) + " " +
           google::protobuf::util::TimeUtil::ToString(claim.claimed_at());
}

}  // namespace prebake::node
