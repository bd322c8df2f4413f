#include "agent/daemon/watched_hydration.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/timestamp.h"
#include "agent/hydrate/documents.h"

namespace prebake::daemon {

void WatchedHydration::read() {
    read_at_ = clock_().steady;
    read_plan();
    read_progress();
}

/// The plan itself is large, and only the service needs it. It is replaced as a whole, so the time
/// of the file is when it was made, also on clones.
void WatchedHydration::read_plan() {
    struct stat status {};
    facts_.has_plan = ::stat(hydrate::plan_path(state_dir_).c_str(), &status) == 0;
    const Moment now = clock_();
    const Time booted_at = now.wall - std::chrono::duration_cast<Time::duration>(now.uptime);
    facts_.is_plan_of_this_boot = facts_.has_plan && std::chrono::system_clock::from_time_t(
                                                         status.st_mtim.tv_sec) >= booted_at;
}

void WatchedHydration::read_progress() {
    std::optional<v1::Hydration> progress;
    facts_.problem.clear();
    try {
        progress = hydrate::read_hydration(hydrate::progress_path(runtime_dir_));
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) facts_.problem = error.message();
    }
    if (progress && progress->boot_id() != boot_id_) progress.reset();
    const auto written = [](const v1::Hydration& each) { return to_time(each.updated_at()); };
    if (progress && (!facts_.progress || written(*facts_.progress) != written(*progress))) {
        const Moment now = clock_();
        const std::chrono::nanoseconds age = now.wall - written(*progress);
        // Only if the daemon has just started it may be old. If the clock was set, it may seem to
        // be older than the boot, or of the future.
        written_at_ = now.steady - std::clamp(age, std::chrono::nanoseconds(0), now.uptime);
    }
    facts_.progress = std::move(progress);
}

std::optional<WatchedHydration::SteadyTime> WatchedHydration::falls_silent_at() const {
    if (!facts_.progress || !report::is_at_work(facts_.progress->state())) return {};
    const SteadyTime at = written_at_ + kPatience;
    if (at <= clock_().steady) return {};
    return at;
}

report::HydrationFacts WatchedHydration::facts() const {
    report::HydrationFacts facts = facts_;
    facts.is_silent = written_at_ + kPatience <= clock_().steady;
    return facts;
}

std::optional<ledger::DiskWarmth> WatchedHydration::warmth() const {
    if (!facts_.progress) return {};
    const std::string& state = facts_.progress->state();
    if (state == report::kNotNeededState || state == report::kNoPlanState) return {};
    ledger::DiskWarmth warmth;
    if (facts_.progress->has_traced_at()) {
        warmth.hydrated_at = to_time(facts_.progress->traced_at());
    } else if (state == report::kHydratedState) {  // in an earlier boot, or as files
        warmth.hydrated_at = to_time(facts_.progress->finished_at());
    }
    return warmth;
}

}  // namespace prebake::daemon
