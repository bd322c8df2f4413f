#include "agent/base/boot.h"

#include <time.h>

#include "agent/base/file.h"

namespace prebake {

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

}  // namespace prebake
