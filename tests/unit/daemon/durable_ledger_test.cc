#include "agent/daemon/durable_ledger.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <set>

#include "agent/ledger/ledger_file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::daemon {
namespace {

const guard::ImageKey kKey{.image = "a", .ns = "k8s.io"};

v1::Claim claim_of(const std::string& instance) {
    v1::Claim claim;
    claim.set_state(v1::Claim::CLAIMED);
    claim.mutable_instance()->set_id(instance);
    return claim;
}

guard::ProtectedImages images() {
    v1::BakeRecord record;
    v1::BakedImage& image = *record.add_images();
    image.set_name(kKey.image);
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(kKey.ns);
    placement.set_pinned(true);
    guard::ProtectedImages images;
    images.set_baked(std::make_shared<const store::BakedImages>(std::move(record)));
    return images;
}

v1::Times ready_after(double seconds) {
    v1::Times times;
    *times.mutable_ready_at() = to_timestamp(Time(std::chrono::seconds(1000)));
    times.set_kernel_to_ready_seconds(seconds);
    return times;
}

/// One run of the daemon: the budget unpins an image, which is then deleted.
void run_once(const std::filesystem::path& state_dir, guard::ActivityLog& log) {
    DurableLedger ledger(state_dir, log, current_moment);
    ledger.open(claim_of("i-1"));
    guard::ProtectedImages own = images();
    own.set_unpinned(kKey, true);
    own.set_evicted(kKey, true);
    ledger.set_times(ready_after(8));
    REQUIRE(ledger.take_changed(own));
    REQUIRE(ledger.save(own));
}

TEST_CASE("evicted images are known after a restart of the daemon") {
    const TemporaryDirectory directory;
    guard::ActivityLog log({});
    run_once(directory.path(), log);
    DurableLedger again(directory.path(), log, current_moment);
    CHECK_FALSE(again.open(claim_of("i-1")));
    guard::ProtectedImages own = images();
    again.load_unpinned(own);
    CHECK(own.unpinned() == std::set{kKey});
    CHECK(own.evicted() == std::set{kKey});
    CHECK_FALSE_MESSAGE(own.take_changed(), "it is in the file");
}

TEST_CASE("an image that was evicted on another machine with this disk is missing on this one") {
    const TemporaryDirectory directory;
    guard::ActivityLog log({});
    run_once(directory.path(), log);
    DurableLedger again(directory.path(), log, current_moment);
    CHECK(again.open(claim_of("i-2")));
    guard::ProtectedImages own = images();
    again.load_unpinned(own);
    CHECK(own.unpinned().empty());
}

TEST_CASE("the time to ready belongs to the boot, not to the last restart of the daemon") {
    const TemporaryDirectory directory;
    guard::ActivityLog log({});
    run_once(directory.path(), log);
    DurableLedger again(directory.path(), log, current_moment);
    again.set_times(ready_after(5000));
    CHECK(again.times().kernel_to_ready_seconds() == 8);

    std::string warning;
    v1::LedgerState of_another_boot = ledger::read_ledger(directory.path(), warning);
    of_another_boot.set_boot_id("another");
    ledger::write_ledger(directory.path(), of_another_boot);
    DurableLedger later(directory.path(), log, current_moment);
    CHECK_FALSE(later.times().has_ready_at());
}

TEST_CASE("a clock that was ahead creates no gap in the future") {
    const TemporaryDirectory directory;
    guard::ActivityLog log({});
    run_once(directory.path(), log);
    std::string warning;
    v1::LedgerState ahead = ledger::read_ledger(directory.path(), warning);
    const Time now = std::chrono::system_clock::now();
    *ahead.mutable_updated_at() = to_timestamp(now + std::chrono::hours(9));
    ledger::write_ledger(directory.path(), ahead);
    DurableLedger again(directory.path(), log, current_moment);
    again.open(claim_of("i-1"));
    again.end_gap(std::chrono::system_clock::now(), 0);
    const v1::Ledger ledger = again.accounts().report();
    REQUIRE(ledger.gaps_size() == 1);
    CHECK(to_time(ledger.gaps(0).to()) < now + std::chrono::hours(1));
    CHECK(to_time(ledger.updated_at()) < now + std::chrono::hours(1));
}

TEST_CASE("open() returns true if the claim changes") {
    const TemporaryDirectory directory;
    guard::ActivityLog log({});
    DurableLedger ledger(directory.path(), log, current_moment);
    ledger.open({});
    CHECK(ledger.open(claim_of("i-1")));
    CHECK_FALSE(ledger.open(claim_of("i-1")));
}

}  // namespace
}  // namespace prebake::daemon
