#include "agent/hydrate/ebs_log.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"

namespace prebake::hydrate {

namespace ebs_log_test {

class Page {
  public:
    Page() { set(0, 0x3C23B510, 4); }

    Page& set(std::size_t offset, std::uint64_t value, std::size_t bytes = 8) {
        for (std::size_t i = 0; i < bytes; ++i) {
            bytes_[offset + i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
        }
        return *this;
    }
    Page& bin(std::size_t index, std::uint64_t lower, std::uint64_t upper, std::uint32_t count) {
        const std::size_t at = 512 + 8 + index * 24;
        return set(at, lower).set(at + 8, upper).set(at + 16, count, 4);
    }
    const std::vector<std::byte>& bytes() const { return bytes_; }

  private:
    std::vector<std::byte> bytes_ = std::vector<std::byte>(kEbsLogBytes);
};

TEST_CASE("the fields of the page") {
    Page page;
    page.set(8, 1000).set(24, 1 << 20).set(56, 1).set(64, 2).set(72, 3).set(80, 4).set(88, 5);
    page.set(512, 2).bin(0, 0, 1024, 7).bin(1, 16384, 32768, 9).bin(2, 32768, 65536, 100);
    const EbsLog log = parse_ebs_log(page.bytes());
    CHECK(log.read_operations == 1000);
    CHECK(log.read_bytes == 1 << 20);
    CHECK(log.over_volume_operations == 1);
    CHECK(log.over_volume_throughput == 2);
    CHECK(log.over_instance_operations == 3);
    CHECK(log.over_instance_throughput == 4);
    CHECK(log.queue_length == 5);
    CHECK(log.read_latencies == std::vector<EbsLog::Bin>{{0, 1024, 7}, {16384, 32768, 9}});
}

TEST_CASE("pages that are something else") {
    const auto code_of = [](const std::vector<std::byte>& bytes) {
        return tests::thrown_by([&] { parse_ebs_log(bytes); }).code();
    };
    CHECK(code_of({}) == Errc::corrupt);
    CHECK(code_of(std::vector<std::byte>(kEbsLogBytes - 1)) == Errc::corrupt);
    CHECK(code_of(std::vector<std::byte>(kEbsLogBytes)) == Errc::corrupt);
    Page instance_store;
    CHECK(code_of(instance_store.set(0, 0xEC2C0D7E, 4).bytes()) == Errc::corrupt);
    Page absurd;
    CHECK(code_of(absurd.set(512, 65).bytes()) == Errc::corrupt);
    Page most;
    CHECK(parse_ebs_log(most.set(512, 64).bytes()).read_latencies.size() == 64);
}

TEST_CASE("two samples tell cold reads and throttling") {
    Page page;
    page.set(512, 3).bin(0, 0, 8192, 50).bin(1, 8192, 16384, 50).bin(2, 16384, 32768, 5);
    page.set(64, 1000);
    const EbsLog before = parse_ebs_log(page.bytes());
    page.bin(0, 0, 8192, 500).bin(1, 8192, 16384, 60).bin(2, 16384, 32768, 12).set(56, 7);
    page.set(64, 1500);
    const EbsLog after = parse_ebs_log(page.bytes());
    const EbsActivity activity = ebs_activity(before, after);
    CHECK(activity.cold_reads == 7);
    CHECK(activity.throttled == 507);
    CHECK(ebs_activity(before, before).cold_reads == 0);
    // Another volume, whose counters began later.
    CHECK(ebs_activity(after, before).cold_reads == 5);
}

}  // namespace ebs_log_test

}  // namespace prebake::hydrate
