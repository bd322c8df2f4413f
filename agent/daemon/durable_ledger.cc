#include "agent/daemon/durable_ledger.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/base/boot.h"
#include "agent/base/error.h"
#include "agent/ledger/ledger_file.h"

namespace prebake::daemon {
namespace {

/// Identifies whose counts a ledger has: the instance and the time of its claim, or "unclaimed".
std::string ledger_claim(const v1::Claim& claim) {
    if (claim.state() != v1::Claim::CLAIMED) return "unclaimed";
    const v1::Instance& instance = claim.instance();
    const std::string& who = instance.id().empty() ? instance.hardware_uuid() : instance.id();
    return (who.empty() ? "unknown" : who) + " " +
           google::protobuf::util::TimeUtil::ToString(claim.claimed_at());
}

}  // namespace

DurableLedger::DurableLedger(std::filesystem::path state_dir, guard::ActivityLog& log,
                             TimeSource clock)
    : state_dir_(std::move(state_dir)),
      log_(log),
      clock_(std::move(clock)),
      boot_id_(read_boot_id()),
      accounts_(load()) {}

v1::LedgerState DurableLedger::load() {
    std::string warning;
    v1::LedgerState stored = ledger::read_ledger(state_dir_, warning);
    if (!warning.empty()) log_.warn("ledger", warning);
    claim_ = stored.claim();
    unpinned_.Swap(stored.mutable_unpinned());
    restored_.Swap(stored.mutable_restored());
    if (stored.boot_id() == boot_id_) {
        times_.Swap(stored.mutable_times());
        // If the clock was set back since, all that is known is that there is a gap.
        const Time now = clock_().wall;
        if (stored.has_updated_at()) {
            begin_gap("daemon_stopped", std::min(to_time(stored.updated_at()), now));
        }
    }
    return stored;
}

bool DurableLedger::open(const v1::Claim& claim) {
    std::string own = ledger_claim(claim);
    const bool is_other = own != claim_;
    if (!is_other && is_open_) return false;
    is_open_ = true;
    claim_ = std::move(own);
    // On another machine with this disk, a missing image was not evicted: it is missing.
    if (is_other) {
        unpinned_.Clear();
        restored_.Clear();
    }
    const Moment now = clock_();
    accounts_.open(claim_, boot_id_,
                   now.wall - std::chrono::duration_cast<Time::duration>(now.uptime), now.wall);
    return is_other;
}

void DurableLedger::set_times(const v1::Times& times) {
    if (times_.has_ready_at() || !times.has_ready_at()) return;
    times_ = times;
    has_new_times_ = true;
}

void DurableLedger::begin_gap(const std::string& cause, Time from) {
    if (!gap_) gap_ = PendingGap{.cause = cause, .from = from};
}

void DurableLedger::end_gap(Time now, std::size_t found) {
    if (gap_) accounts_.mark_gap(gap_->from, now, gap_->cause, found);
    gap_.reset();
}

bool DurableLedger::take_changed(guard::ProtectedImages& images) {
    const bool have_images_changed = images.take_changed();
    const bool have_counts_changed = accounts_.take_changed();
    const bool has_changed =
        std::exchange(has_new_times_, false) || have_images_changed || have_counts_changed;
    is_unsaved_ |= has_changed;
    return has_changed;
}

bool DurableLedger::save(const guard::ProtectedImages& images) {
    if (!is_unsaved_) return true;
    try {
        v1::LedgerState ledger = accounts_.state();
        images.store(*ledger.mutable_unpinned());
        images.store(*ledger.mutable_restored());
        *ledger.mutable_times() = times_;
        ledger::write_ledger(state_dir_, std::move(ledger));
        is_unsaved_ = false;
        log_.clear("saving");
    } catch (const Error& error) {
        log_.warn("saving", "cannot save the ledger: " + error.message());
    }
    return !is_unsaved_;
}

}  // namespace prebake::daemon
