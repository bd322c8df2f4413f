#include "agent/daemon/node_loop.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "agent/base/backoff.h"
#include "agent/base/file.h"
#include "agent/base/memory.h"
#include "agent/daemon/event_queue.h"
#include "agent/daemon/event_stream.h"
#include "agent/daemon/loop_states.h"
#include "agent/daemon/node_work.h"
#include "agent/daemon/timers.h"
#include "agent/daemon/watched_hydration.h"
#include "agent/daemon/watched_record.h"
#include "agent/guard/docker_store.h"
#include "agent/store/baked_images.h"
#include "agent/store/placements.h"

namespace prebake::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kMaxWaitingEvents = 4096;  // about 2 MB
/// The longest sleep: the watchdog wants signs of life. A silent containerd is probed then.
constexpr seconds kMaxSleep{20};
/// How long a repair may be silent: containerd applies a large layer on a slow disk in one call.
constexpr std::chrono::minutes kRepairPatience{30};

/// containerd is asked often while a machine boots, later less often.
constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLaterRetry{1000};
constexpr std::chrono::minutes kBootTime{2};
constexpr milliseconds kPublishDelay{200};
constexpr seconds kSaveDelay{2};
constexpr seconds kSaveRetry{30};
constexpr seconds kBudgetDelay{10};
constexpr seconds kBudgetInterval{60};
/// After an overflow, which may repeat: listing everything must not take all our time.
constexpr seconds kOverflowDelay{2};
constexpr seconds kFailureDelay{5};  // after an event that could not be processed

constexpr const char* kChecking = "checking the images";
constexpr const char* kCheckingSuspects = "checking images that changed";
constexpr const char* kListing = "listing what runs";
constexpr const char* kKeepingBudget = "keeping pins within their budget";
constexpr const char* kHoldingContent = "holding the content of baked images";

}  // namespace

class NodeLoop::Impl final : private bake::EventSink {
  public:
    Impl(NodeLoopOptions options, report::StatusHolder& holder)
        : options_(std::move(options)), holder_(holder), log_(options_.note) {
        show_life();
    }

    void run(const std::stop_token& stop);
    void reload(bool is_check_wanted) { queue_.push(ReloadRequested{is_check_wanted}); }
    void hydration_changed() { queue_.push(HydrationChanged{}); }
    SteadyTime last_sign_of_life() const {
        return std::min(SteadyTime(SteadyTime::duration(alive_until_.load())), now());
    }

  private:
    SteadyTime now() const { return options_.clock().steady; }

    void read_identity();
    void read_order();
    void use_record();
    void share_images();
    void read_settings();
    void read_hydration();
    void reload_now(const ReloadRequested& request);

    void handle(const Wakeup& wakeup);
    void note_engine();
    void handle_event(const containerd::Event& event);
    void process(const containerd::Event& event);
    void record_guard_actions();
    /// Whether the containers of the namespace are counted by what dockerd says.
    bool is_counted_elsewhere(const std::string& ns) const {
        return ns == store::kDockerNamespace && work_->engine.counts_containers();
    }

    // The table of states.
    void dispatch(LoopEvent event);
    void perform(LoopAction action);
    void open_stream();
    void close_stream();
    void require_stream() const;

    bool is_due(const Timer& timer, LoopWork work) const {
        return is_possible(state_, work) && timer.is_due(now());
    }
    void do_due_work();
    void ask_containerd();
    void check_everything();
    void list_everything();
    void check_suspects();
    void keep_budget();
    void save_ledger();
    void note_changes();
    /// Runs `work`. False if it threw an Error, which then is a standing warning.
    template <typename DoWork>
    bool attempt(const std::string& what, DoWork work);
    void settle_repairs();

    report::NodeFacts facts() const;
    void publish();
    void show_progress(const guard::RepairProgress& progress);

    void on_event(const bake::Event& event) override;
    void show_life(SteadyTime::duration credit = {}) {
        alive_until_ = (now() + credit).time_since_epoch().count();
    }

    const NodeLoopOptions options_;
    report::StatusHolder& holder_;
    guard::ActivityLog log_;
    EventQueue queue_{kMaxWaitingEvents};
    std::atomic<SteadyTime::rep> alive_until_{0};

    WatchedRecord record_{options_.state_dir, log_};
    WatchedHydration hydration_{options_.state_dir, options_.runtime_dir, options_.clock};

    LoopState state_ = LoopState::waiting_for_containerd;
    SteadyTime waiting_since_{};
    Timers timers_;
    Backoff check_backoff_;
    Backoff list_backoff_;
    Backoff budget_backoff_;
    Backoff session_backoff_;

    // Facts of the loop; the guard has its own.
    bool is_serving_ = false;
    bool has_served_ = false;
    std::string serving_problem_;
    bool has_serving_changed_ = false;  ///< since it was published
    bool is_reconciled_ = false;
    report::IdentityFacts identity_;
    report::OrderProblems order_problems_;
    std::shared_ptr<const store::BakedImages> shared_images_;  ///< what the ledger uses

    // About the last StreamEnded or EventsLost, and the last question to containerd.
    Time gap_since_{};
    std::string problem_;

    guard::RestoredParts unsettled_;  ///< the ledger does not know of them so far
    std::optional<NodeWork> work_;
    std::optional<EventStream> stream_;  // of this session
};

void NodeLoop::Impl::run(const std::stop_token& stop) {
    const FileLock lock(options_.state_dir / "daemon.lock");
    work_.emplace(
        options_, NodeWork::Parts{.holder = holder_, .log = log_, .queue = queue_, .events = *this},
        [this](const guard::RepairProgress& progress) { show_progress(progress); }, stop);
    read_identity();
    work_->ledger.open(identity_.claim);
    record_.read();
    read_order();
    use_record();
    // Without a budget nothing was unpinned.
    if (work_->guard.has_pin_limits()) work_->ledger.load_unpinned(work_->guard.images());
    work_->ledger.load_restored(work_->guard.images());

    const std::stop_callback wake_up(stop, [this] { queue_.push(StopRequested{}); });
    read_hydration();
    waiting_since_ = now();
    timers_.ask.set(waiting_since_);
    while (state_ != LoopState::stopping) {
        const SteadyTime from = now();
        const auto to = timers_.wake_up(from + kMaxSleep, state_, work_->guard.suspects_due());
        // The queue sleeps by the real clock, which may not be the loop's.
        const auto wakeup = queue_.pop(std::chrono::steady_clock::now() + (to - from));
        show_life();
        if (wakeup && !stop.stop_requested()) handle(*wakeup);
        if (!stop.stop_requested()) do_due_work();
        if (stop.stop_requested()) dispatch(LoopEvent::stop_requested);
    }
}

void NodeLoop::Impl::read_identity() {
    try {
        identity_ = options_.identity ? options_.identity() : report::IdentityFacts();
    } catch (const Error& error) {
        identity_.problem = error.message();
    }
}

void NodeLoop::Impl::read_order() {
    if (options_.order_problems)
        order_problems_ = options_.order_problems(guard::is_for_docker(record_.record()));
}

void NodeLoop::Impl::use_record() {
    work_->guard.set_record(record_.record());
    share_images();
    work_->engine.set_record(record_.record());
}

/// The ledger and the guard use the same index of images.
void NodeLoop::Impl::share_images() {
    const auto& baked = work_->guard.images().shared_baked();
    if (shared_images_ == baked) return;
    shared_images_ = baked;
    work_->ledger.accounts().set_baked(shared_images_);
}

void NodeLoop::Impl::read_settings() {
    work_->guard.read_settings();
    share_images();
}

void NodeLoop::Impl::reload_now(const ReloadRequested& request) {
    read_identity();
    const bool is_other_claim = work_->ledger.open(identity_.claim);
    const bool is_other_record = record_.read();
    if (is_other_record || request.is_check_wanted) read_order();
    if (is_other_record) use_record();
    if (request.is_check_wanted) work_->lease.start_over();
    if (request.is_check_wanted || is_other_claim) work_->engine.look_again();
    if (is_other_record || request.is_check_wanted) dispatch(LoopEvent::check_requested);
    if (is_other_record || is_other_claim) dispatch(LoopEvent::list_requested);
    publish();
}

void NodeLoop::Impl::read_hydration() {
    timers_.hydration.clear();
    hydration_.read();
    work_->ledger.accounts().set_warmth(hydration_.warmth());
    if (const auto at = hydration_.falls_silent_at()) timers_.hydration.set(*at);
    publish();
}

void NodeLoop::Impl::handle(const Wakeup& wakeup) {
    if (const auto* request = std::get_if<ReloadRequested>(&wakeup)) return reload_now(*request);
    if (std::holds_alternative<HydrationChanged>(wakeup))
        return timers_.hydration.set(hydration_.next_read());
    if (work_->engine.handle(wakeup)) return note_engine();
    // Anything that comes from containerd shows that it is not frozen.
    timers_.probe.move(now() + kMaxSleep);
    if (const auto* event = std::get_if<containerd::Event>(&wakeup)) return handle_event(*event);
    if (std::holds_alternative<Subscribed>(wakeup)) return dispatch(LoopEvent::subscribed);
    if (const auto* ended = std::get_if<StreamEnded>(&wakeup)) {
        gap_since_ = ended->at;
        problem_ = ended->error.message();
        return dispatch(LoopEvent::stream_ended);
    }
    if (const auto* loss = std::get_if<EventsLost>(&wakeup)) {
        gap_since_ = loss->since;
        work_->engine.look_again();
        return dispatch(LoopEvent::events_lost);
    }
}

/// After news of dockerd.
void NodeLoop::Impl::note_engine() {
    if (work_->engine.take_changed()) timers_.publish.set(now() + kPublishDelay);
    if (work_->engine.take_store_changed()) dispatch(LoopEvent::list_requested);
    note_changes();
}

void NodeLoop::Impl::handle_event(const containerd::Event& event) {
    try {
        process(event);
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) return;
        log_.note(guard::Severity::debug, "skipping an event about " + event.object + " in " +
                                              event.ns + ": " + error.message());
        // If containerd is gone, the stream ends next. If not, no other event reports this again.
        if (is_retryable(error.code())) dispatch(LoopEvent::event_failed);
    }
}

/// The ledger and the guard get each event side by side; neither knows the other.
void NodeLoop::Impl::process(const containerd::Event& event) {
    std::optional<containerd::Image> held;
    if (containerd::is_image_written(event)) held = work_->names.get(event.ns, event.object);
    if (!is_counted_elsewhere(event.ns)) work_->feed.on_event(event, held);
    guard::FollowUp follow_up = guard::FollowUp::none;
    std::optional<Error> failure;
    try {
        follow_up = work_->guard.on_event(event, held);
    } catch (const Error& error) {
        failure = error;
    }
    record_guard_actions();
    if (failure) throw Error(*failure);
    if (follow_up == guard::FollowUp::check_everything) dispatch(LoopEvent::check_requested);
    if (work_->guard.has_pin_limits()) timers_.budget.set(now() + kBudgetDelay);
    note_changes();
}

void NodeLoop::Impl::record_guard_actions() {
    guard::GuardActions actions = work_->guard.take_actions();
    for (auto& [ns, parts] : actions.restored) unsettled_[ns].merge(parts);
    for (const std::string& ns : actions.named_again) work_->lease.explain(ns);
    for (const guard::GuardActions::Pull& pull : actions.pulled_again) {
        work_->feed.image_named(pull.ns, pull.image, pull.at);
    }
    for (const guard::GuardActions::Name& name : actions.repinned) {
        work_->ledger.accounts().repinned(name.ns, name.name);
    }
}

void NodeLoop::Impl::dispatch(LoopEvent event) {
    const Transition* const transition = find_transition(state_, event);
    if (transition == nullptr) return;
    state_ = transition->to;
    for (const LoopAction action : transition->actions) perform(action);
}

void NodeLoop::Impl::perform(LoopAction action) {
    switch (action) {
        case LoopAction::open_stream:
            return open_stream();
        case LoopAction::close_stream:
            return close_stream();
        case LoopAction::ask_again: {
            const bool is_booting = now() - waiting_since_ < kBootTime;
            return timers_.ask.move(now() + (is_booting ? kFirstRetry : kLaterRetry));
        }
        case LoopAction::back_off:
            waiting_since_ = now() + session_backoff_.next();
            return timers_.ask.move(waiting_since_);
        case LoopAction::reset_backoff:
            return session_backoff_.reset();
        case LoopAction::set_serving:
            has_serving_changed_ |= !is_serving_;
            is_serving_ = has_served_ = true;
            return serving_problem_.clear();
        case LoopAction::set_not_serving:
            has_serving_changed_ |= is_serving_ || serving_problem_ != problem_;
            is_serving_ = false;
            serving_problem_ = problem_;
            return;
        case LoopAction::record_restart:
            work_->ledger.begin_gap("containerd_restarted", gap_since_);
            return log_.note(guard::Severity::info, "containerd went away: " + problem_);
        case LoopAction::record_overflow:
            work_->ledger.begin_gap("events_overflowed", gap_since_);
            return log_.note(guard::Severity::warning,
                             "event queue overflowed; relisting everything");
        case LoopAction::check_now:
            return timers_.check.set(now());
        case LoopAction::check_after_overflow:
            return timers_.check.set(now() + kOverflowDelay);
        case LoopAction::check_after_failure:
            return timers_.check.set(now() + kFailureDelay);
        case LoopAction::list_now:
            return timers_.list.set(now());
        case LoopAction::list_after_overflow:
            return timers_.list.set(now() + kOverflowDelay);
        case LoopAction::list_after_failure:
            return timers_.list.set(now() + kFailureDelay);
        case LoopAction::retry_check:
            return timers_.check.set(now() + check_backoff_.next());
        case LoopAction::budget_now:
            return timers_.budget.set(now());
        case LoopAction::accept_images:
            is_reconciled_ = true;
            return check_backoff_.reset();
        case LoopAction::forget_images:
            is_reconciled_ = false;
            return;
        case LoopAction::publish:
            return publish();
        case LoopAction::publish_changes:
            if (has_serving_changed_) publish();
            return;
        case LoopAction::save_ledger:
            return save_ledger();
    }
}

void NodeLoop::Impl::open_stream() {
    work_->lease.look_again();
    stream_.emplace(options_.address, queue_);
    timers_.probe.move(now() + kMaxSleep);
}

void NodeLoop::Impl::close_stream() {
    stream_.reset();
    // The next session does not need what this one left in the queue.
    const std::optional<ReloadRequested> reload = queue_.end_session();
    work_->engine.look_again();  // what was lost may have been dockerd's
    timers_.end_session();
    if (reload) reload_now(*reload);
}

/// The findings of a check must not mix two containerds: the next one may have another
/// configuration.
void NodeLoop::Impl::require_stream() const {
    if (stream_ && stream_->has_ended()) {
        throw Error(Errc::unavailable, "containerd went away during the check");
    }
}

template <typename DoWork>
bool NodeLoop::Impl::attempt(const std::string& what, DoWork work) {
    try {
        work();
        log_.clear(what);
        return true;
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) return false;
        log_.warn_of_retry(what, what + " failed and will be retried: " + error.message());
        timers_.publish.set(now() + kPublishDelay);
        return false;
    }
}

void NodeLoop::Impl::do_due_work() {
    if (is_due(timers_.ask, LoopWork::ask) || is_due(timers_.probe, LoopWork::probe)) {
        ask_containerd();
    }
    if (is_due(timers_.check, LoopWork::check)) check_everything();
    if (is_due(timers_.list, LoopWork::list)) list_everything();
    if (is_possible(state_, LoopWork::suspects)) work_->guard.notice_causes();
    const auto suspects = work_->guard.suspects_due();
    if (suspects && *suspects <= now() && is_possible(state_, LoopWork::suspects)) {
        check_suspects();
    }
    if (is_due(timers_.budget, LoopWork::budget)) keep_budget();
    note_changes();
    if (is_due(timers_.save, LoopWork::save)) save_ledger();
    if (is_due(timers_.hydration, LoopWork::hydration)) read_hydration();
    if (is_due(timers_.publish, LoopWork::publish)) publish();
}

/// In a session: a containerd that is stopped, or waits for its disk, does not end the stream.
void NodeLoop::Impl::ask_containerd() {
    timers_.ask.clear();
    timers_.probe.move(now() + kMaxSleep);
    LoopEvent event = LoopEvent::containerd_answered;
    try {
        work_->evaluator.containerd_answered(work_->connection.version().version);
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) return;
        problem_ = error.message();
        event = LoopEvent::containerd_silent;
    }
    dispatch(event);
}

void NodeLoop::Impl::check_everything() {
    timers_.check.clear();
    const bool is_done = attempt(kChecking, [&] {
        read_settings();
        work_->guard.check_everything();
        require_stream();
    });
    if (is_done) log_.clear(kCheckingSuspects);
    dispatch(is_done ? LoopEvent::checked : LoopEvent::check_failed);
}

void NodeLoop::Impl::list_everything() {
    timers_.list.clear();
    const bool is_done = attempt(kListing, [&] {
        // First, or the ledger would count what was repaired as pulled.
        settle_repairs();
        const Time at = options_.clock().wall;
        const std::size_t found =
            work_->feed.list_everything(work_->guard.snapshotters(), at, [this](const auto& ns) {
                show_life();
                return !is_counted_elsewhere(ns);
            });
        work_->ledger.end_gap(at, found);
        note_changes();
        // The lists of whole namespaces were large, and are not needed until the next listing.
        give_back_memory();
    });
    if (is_done) return list_backoff_.reset();
    timers_.list.set(now() + list_backoff_.next());
}

void NodeLoop::Impl::check_suspects() {
    attempt(kCheckingSuspects, [&] {
        // CRI that failed may answer by now; its images are among the suspects.
        if (work_->guard.state().cri.has_failed) read_settings();
        work_->guard.check_suspects();
        settle_repairs();
    });
    timers_.budget.set(now() + kBudgetDelay);
    publish();
}

void NodeLoop::Impl::settle_repairs() {
    record_guard_actions();
    if (unsettled_.empty()) return;
    work_->feed.restored(unsettled_, work_->guard.snapshotters());
    unsettled_.clear();
}

void NodeLoop::Impl::keep_budget() {
    timers_.budget.clear();
    const bool is_within = attempt(kKeepingBudget, [&] {
        work_->guard.keep_budget([&](const guard::ImageKey& key) {
            const ledger::ImageUsage used = work_->ledger.accounts().usage(key);
            return guard::Usage{.starts = used.starts, .last_used = used.last_used};
        });
    });
    // Also if a pin could not be changed: on a full disk this gives up the lease.
    const bool is_held = attempt(kHoldingContent, [&] {
        work_->lease.hold(work_->guard.content_to_hold(), options_.clock().wall);
    });
    const bool is_done = is_within && is_held;
    if (is_done) budget_backoff_.reset();
    timers_.budget.set(now() + (is_done ? kBudgetInterval : budget_backoff_.next()));
    timers_.publish.set(now() + kPublishDelay);
}

void NodeLoop::Impl::note_changes() {
    if (!work_->ledger.take_changed(work_->guard.images())) return;
    timers_.save.set(now() + kSaveDelay);
    timers_.publish.set(now() + kPublishDelay);
}

void NodeLoop::Impl::save_ledger() {
    timers_.save.clear();
    work_->ledger.take_changed(work_->guard.images());
    if (work_->ledger.save(work_->guard.images())) return;
    timers_.save.set(now() + kSaveRetry);
    timers_.publish.set(now());
}

/// The only place that makes NodeFacts.
report::NodeFacts NodeLoop::Impl::facts() const {
    const guard::GuardState& guard = work_->guard.state();
    const report::DockerFacts docker = work_->engine.facts();
    const bool needs_containerd = guard::needs_containerd(record_.record());
    std::vector<guard::ImageHealth> images = guard.images;
    const auto& of_engine = work_->engine.images();
    images.insert(images.end(), of_engine.begin(), of_engine.end());
    return {.needs_containerd = needs_containerd,
            .is_serving = is_serving_,
            .serving_problem = serving_problem_,
            .order_problems = {.containerd = has_served_ ? "" : order_problems_.containerd,
                               .docker = order_problems_.docker},
            .is_reconciled = (is_reconciled_ || !needs_containerd) && docker.is_checked,
            .record_problem = record_.problem(),
            .cri = guard.cri,
            .snapshotter = guard.snapshotter,
            .content_directory = guard.content_directory,
            .sandbox_image = guard.sandbox_image,
            .is_sandbox_missing = guard.is_sandbox_missing,
            .recorded = static_cast<std::size_t>(record_.record().images_size()),
            .images = std::move(images),
            .docker = docker,
            .identity = identity_,
            .endpoint_problem = options_.endpoint_problem ? options_.endpoint_problem() : "",
            .hydration = hydration_.facts()};
}

void NodeLoop::Impl::publish() {
    timers_.publish.clear();
    has_serving_changed_ = false;
    work_->evaluator.publish(facts());
    work_->ledger.set_times(work_->evaluator.times());
}

void NodeLoop::Impl::show_progress(const guard::RepairProgress& progress) {
    require_stream();
    show_life(kRepairPatience);
    work_->evaluator.publish_progress(facts(), progress);
}

void NodeLoop::Impl::on_event(const bake::Event& event) {
    show_life(kRepairPatience);
    if (event.kind != bake::EventKind::notice) return;
    log_.note(guard::Severity::info, event.image + ": " + event.message);
}

NodeLoop::NodeLoop(NodeLoopOptions options, report::StatusHolder& holder)
    : impl_(std::make_unique<Impl>(std::move(options), holder)) {}
NodeLoop::~NodeLoop() = default;
void NodeLoop::run(const std::stop_token& stop) {
    impl_->run(stop);
}
void NodeLoop::reload(bool is_check_wanted) {
    impl_->reload(is_check_wanted);
}
void NodeLoop::hydration_changed() {
    impl_->hydration_changed();
}
std::chrono::steady_clock::time_point NodeLoop::last_sign_of_life() const {
    return impl_->last_sign_of_life();
}

}  // namespace prebake::daemon
