#include "agent/daemon/node_loop.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "agent/base/file.h"
#include "agent/base/memory.h"
#include "agent/containerd/connection.h"
#include "agent/daemon/durable_ledger.h"
#include "agent/daemon/event_queue.h"
#include "agent/daemon/image_guard.h"
#include "agent/daemon/ledger_feed.h"
#include "agent/daemon/status_evaluator.h"
#include "agent/daemon/timers.h"
#include "agent/guard/activity_log.h"
#include "agent/store/record.h"

namespace prebake::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;
using WallClock = std::chrono::system_clock;

/// About 2 MB of events, or half a second of ten thousand a second.
constexpr std::size_t kMaxWaitingEvents = 4096;
/// The longest sleep, because the watchdog needs signs of life.
constexpr seconds kMaxSleep{20};
/// How long a repair may be silent: containerd applies a large layer on a slow disk in one call.
constexpr std::chrono::minutes kRepairPatience{30};

/// containerd is asked often while a machine boots, then now and then.
constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLaterRetry{1000};
constexpr std::chrono::minutes kBootTime{2};
constexpr const char* kCheckingSuspects = "checking images that changed";
constexpr milliseconds kPublishDelay{200};
constexpr seconds kSaveDelay{2};
constexpr seconds kSaveRetry{30};
constexpr seconds kBudgetDelay{10};
constexpr seconds kBudgetInterval{60};
/// Who sends more events than we can follow goes on sending: listing everything must not be all
/// that we do then.
constexpr seconds kLossDelay{2};
/// After an event that could not be followed up, though containerd is there.
constexpr seconds kMissedDelay{5};

}  // namespace

class NodeLoop::Impl final : private bake::EventSink {
  public:
    Impl(NodeLoopOptions options, report::StatusHolder& holder)
        : options_(std::move(options)), holder_(holder), log_(options_.note) {
        show_life();
    }

    void run(const std::stop_token& stop);
    void reload(bool is_check_wanted) { queue_.push(ReloadAsked{is_check_wanted}); }
    Clock::time_point last_sign_of_life() const {
        return std::min(Clock::time_point(Clock::duration(alive_until_.load())), Clock::now());
    }

  private:
    /// What lives as long as run().
    struct Work {
        Work(const NodeLoopOptions& options, const std::stop_token& stop, guard::ActivityLog& log)
            : connection(options.address, stop), ledger(options.state_dir, log) {}
        containerd::Connection connection;
        DurableLedger ledger;
        std::optional<LedgerFeed> ledger_feed;
        std::optional<ImageGuard> images;
        std::optional<StatusEvaluator> evaluator;
    };

    void open(const std::stop_token& stop);
    void read_identity();
    bool read_record();
    void reload_now(const ReloadAsked& asked = {});

    void wait_for_containerd(const std::stop_token& stop);
    void follow_session(const std::stop_token& stop);
    void follow_events(const std::stop_token& end);
    void require_session() const;
    void look_whether_frozen();
    void forget_session();
    void pause(milliseconds duration);
    bool take(const Wakeup& wakeup);
    void on_event(const containerd::Event& event);
    void miss_event(const containerd::Event& event, const Error& error);

    void do_what_is_due();
    /// Runs `work`; an Error makes `timer` due again later.
    template <typename DoWork>
    bool attempt(const std::string& what, Timer& timer, Backoff& backoff, DoWork work);
    void check_everything();
    void list_everything();
    void save_ledger();
    void note_changes();

    void publish();
    void show_progress(const guard::RepairProgress& progress);

    void on_event(const bake::Event& event) override;
    void show_life(Clock::duration credit = {}) {
        alive_until_ = (Clock::now() + credit).time_since_epoch().count();
    }

    NodeLoopOptions options_;
    report::StatusHolder& holder_;
    guard::ActivityLog log_;
    EventQueue queue_{kMaxWaitingEvents};
    std::atomic<Clock::rep> alive_until_{0};
    std::atomic<bool> has_stream_ended_ = false;  // in this session, though it may not be known yet

    std::optional<Work> work_;
    report::NodeFacts facts_;
    v1::BakeRecord record_;
    bool is_checked_ = false;  // in this session
    Clock::time_point asked_at_ = Clock::now();
    Timers timers_;
    Backoff check_backoff_;
    Backoff list_backoff_;
    Backoff budget_backoff_;
    Backoff session_backoff_;
};

void NodeLoop::Impl::run(const std::stop_token& stop) {
    const FileLock lock(options_.state_dir / "daemon.lock");
    open(stop);
    const std::stop_callback wake_up(stop, [this] {
        queue_.push(StreamEnded{Error(Errc::cancelled, "the daemon is stopping")});
    });
    publish();
    while (!stop.stop_requested()) {
        wait_for_containerd(stop);
        if (!stop.stop_requested()) follow_session(stop);
    }
    save_ledger();
}

void NodeLoop::Impl::open(const std::stop_token& stop) {
    work_.emplace(options_, stop, log_);
    ledger::Accounts& accounts = work_->ledger.accounts();
    work_->ledger_feed.emplace(accounts, work_->connection, log_);
    work_->images.emplace(ImageGuard::Surroundings{
        .options = options_,
        .connection = work_->connection,
        .accounts = accounts,
        .ledger_feed = *work_->ledger_feed,
        .log = log_,
        .events = *this,
        .facts = facts_,
        .on_progress = [this](const guard::RepairProgress& progress) { show_progress(progress); }});
    work_->evaluator.emplace(StatusEvaluator::Sources{.holder = holder_,
                                                      .log = log_,
                                                      .accounts = accounts,
                                                      .images = work_->images->images(),
                                                      .facts = facts_,
                                                      .gates = options_.gates,
                                                      .boot_id = work_->ledger.boot_id(),
                                                      .prebake_version = options_.prebake_version});
    work_->evaluator->set_times(work_->ledger.times());
    read_identity();
    work_->ledger.open(facts_.identity.claim);
    read_record();
    work_->images->set_record(record_);
    // Without a budget, nobody may have unpinned anything.
    if (work_->images->has_pin_limits()) work_->ledger.load_unpinned(work_->images->images());
}

void NodeLoop::Impl::read_identity() {
    try {
        facts_.identity = options_.identity ? options_.identity() : report::IdentityFacts();
    } catch (const Error& error) {
        facts_.identity.problem = error.message();
    }
}

/// True if the record is another one than before. One that cannot be read leaves what is known.
bool NodeLoop::Impl::read_record() {
    try {
        v1::BakeRecord record = store::read_record_or_empty(options_.state_dir);
        facts_.record_problem.clear();
        log_.take_back("record");
        if (google::protobuf::util::MessageDifferencer::Equals(record, record_)) return false;
        record_ = std::move(record);
        return true;
    } catch (const Error& error) {
        facts_.record_problem = error.message();
        log_.warn("record", error.message());
        return false;
    }
}

void NodeLoop::Impl::reload_now(const ReloadAsked& asked) {
    read_identity();
    const bool is_other_claim = work_->ledger.open(facts_.identity.claim);
    const bool is_other_record = read_record();
    if (is_other_record) work_->images->set_record(record_);
    if (is_checked_ && (is_other_record || asked.is_check_wanted)) {
        timers_.check.set(Clock::now());
    }
    if (is_other_record || is_other_claim) timers_.list.set(Clock::now());
    publish();
}

void NodeLoop::Impl::wait_for_containerd(const std::stop_token& stop) {
    const auto begin = Clock::now();
    while (!stop.stop_requested()) {
        show_life();
        try {
            work_->evaluator->containerd_answered(work_->connection.version().version);
            return;
        } catch (const Error& error) {
            const bool is_news = facts_.is_serving || facts_.serving_problem != error.message();
            facts_.is_serving = false;
            facts_.serving_problem = error.message();
            if (is_news && !stop.stop_requested()) publish();
        }
        const bool is_booting = Clock::now() - begin < kBootTime;
        pause(is_booting ? kFirstRetry : kLaterRetry);
    }
}

void NodeLoop::Impl::follow_events(const std::stop_token& end) {
    try {
        // A socket of its own: however busy events make it, calls are not held up.
        const containerd::Connection connection(options_.address, end);
        containerd::follow_events(
            connection, [this] { queue_.push(Subscribed{}); },
            [this](containerd::Event event) { queue_.push(std::move(event)); });
    } catch (const Error& error) {
        queue_.push(StreamEnded{error});
    } catch (const std::exception& error) {
        queue_.push(StreamEnded{Error(Errc::internal, error.what())});
    }
    has_stream_ended_ = true;
}

/// What is found out of one containerd must not be said of the next one, which may have another
/// configuration.
void NodeLoop::Impl::require_session() const {
    if (has_stream_ended_) throw Error(Errc::unavailable, "containerd went away in the middle");
}

void NodeLoop::Impl::follow_session(const std::stop_token& stop) {
    has_stream_ended_ = false;
    std::jthread events([this](const std::stop_token& end) { follow_events(end); });
    bool goes_on = true;
    while (goes_on && !stop.stop_requested()) {
        const auto wakeup = queue_.pop(
            timers_.wake_up(Clock::now() + kMaxSleep, is_checked_, work_->images->suspects_due()));
        show_life();
        if (wakeup) {
            goes_on = take(*wakeup);
        } else {
            look_whether_frozen();
        }
        if (goes_on && !stop.stop_requested()) do_what_is_due();
    }
    events.request_stop();
    events.join();
    forget_session();
    // A containerd that answers and has no events for us must not keep us busy.
    if (!stop.stop_requested()) pause(session_backoff_.next());
}

/// A containerd that is stopped, or that waits for a disk forever, does not end the stream. After a
/// long silence it gets a request that it always answers.
void NodeLoop::Impl::look_whether_frozen() {
    if (Clock::now() - asked_at_ < kMaxSleep) return;
    bool is_serving = true;
    try {
        static_cast<void>(work_->connection.version());
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) return;
        is_serving = false;
        facts_.serving_problem = error.message();
    }
    asked_at_ = Clock::now();
    if (std::exchange(facts_.is_serving, is_serving) != is_serving) publish();
}

/// What the ended stream left in the queue is nothing to the next one.
void NodeLoop::Impl::forget_session() {
    bool is_reload_asked = false;
    while (const auto left = queue_.pop(Clock::time_point::min())) {
        is_reload_asked |= std::holds_alternative<ReloadAsked>(*left);
    }
    timers_.end_session();
    is_checked_ = false;
    if (is_reload_asked) reload_now();
}

/// Between sessions: until then, or until something else is to be done.
void NodeLoop::Impl::pause(milliseconds duration) {
    const auto wakeup = queue_.pop(timers_.wake_up(Clock::now() + duration, false, {}));
    if (wakeup && std::holds_alternative<ReloadAsked>(*wakeup)) reload_now();
    note_changes();
    if (timers_.save.is_due(Clock::now())) save_ledger();
    if (timers_.publish.is_due(Clock::now())) publish();
}

/// False when the session has ended.
bool NodeLoop::Impl::take(const Wakeup& wakeup) {
    if (const auto* event = std::get_if<containerd::Event>(&wakeup)) {
        try {
            on_event(*event);
        } catch (const Error& error) {
            miss_event(*event, error);
        }
        return true;
    }
    if (const auto* ended = std::get_if<StreamEnded>(&wakeup)) {
        if (ended->error.code() == Errc::cancelled) return false;
        work_->ledger.expect_gap("containerd_restarted", ended->at);
        facts_.is_serving = false;
        facts_.serving_problem = ended->error.message();
        log_.note(guard::Severity::info, "containerd went away: " + ended->error.message());
        publish();
        return false;
    }
    if (const auto* asked = std::get_if<ReloadAsked>(&wakeup)) {
        reload_now(*asked);
        return true;
    }
    auto when = Clock::now();
    if (const auto* loss = std::get_if<EventsLost>(&wakeup)) {
        work_->ledger.expect_gap("events_overflowed", loss->since);
        log_.note(guard::Severity::warning, "event queue overflowed; relisting everything");
        when += kLossDelay;
    } else {
        session_backoff_.reset();
        facts_.is_serving = true;
        facts_.serving_problem.clear();
    }
    timers_.check.set(when);
    timers_.list.set(when);
    return true;
}

void NodeLoop::Impl::miss_event(const containerd::Event& event, const Error& error) {
    if (error.code() == Errc::cancelled) return;
    log_.note(guard::Severity::debug, "an event about " + event.object + " in " + event.ns +
                                          " is left out: " + error.message());
    // If containerd is gone, the stream ends next. Otherwise no other event follows for this.
    if (!is_retryable(error.code())) return;
    timers_.check.set(Clock::now() + kMissedDelay);
    timers_.list.set(Clock::now() + kMissedDelay);
}

void NodeLoop::Impl::on_event(const containerd::Event& event) {
    const FollowUp follow_up = work_->images->on_event(event);
    if (follow_up == FollowUp::check_everything) timers_.check.set(Clock::now());
    if (work_->images->has_pin_limits()) timers_.budget.set(Clock::now() + kBudgetDelay);
    note_changes();
}

void NodeLoop::Impl::note_changes() {
    if (!work_->ledger.take_changed(work_->images->images())) return;
    timers_.save.set(Clock::now() + kSaveDelay);
    timers_.publish.set(Clock::now() + kPublishDelay);
}

template <typename DoWork>
bool NodeLoop::Impl::attempt(const std::string& what, Timer& timer, Backoff& backoff, DoWork work) {
    timer.clear();
    try {
        work();
        backoff.reset();
        log_.take_back(what);
        return true;
    } catch (const Error& error) {
        timer.set(Clock::now() + backoff.next());
        if (error.code() == Errc::cancelled) return false;
        log_.warn(what, what + " will be tried again: " + error.message());
        timers_.publish.set(Clock::now() + kPublishDelay);
        return false;
    }
}

void NodeLoop::Impl::do_what_is_due() {
    ImageGuard& images = *work_->images;
    if (timers_.check.is_due(Clock::now())) {
        const bool was_checked = is_checked_;
        const bool is_done = attempt("checking the images", timers_.check, check_backoff_,
                                     [&] { check_everything(); });
        // The contents of an earlier containerd are not those of this one.
        if (!is_done && !was_checked) facts_.is_reconciled = false;
    }
    // The starts are counted when the images are known, and readiness does not wait for it.
    if (timers_.list.is_due(Clock::now()) && is_checked_) {
        attempt("listing what runs", timers_.list, list_backoff_, [&] { list_everything(); });
    }
    if (const auto due = images.suspects_due(); due && *due <= Clock::now() && is_checked_) {
        Timer unused;  // what fails is suspected again
        Backoff none;
        attempt(kCheckingSuspects, unused, none, [&] {
            images.check_suspects(Clock::now());
            images.settle_accounts();
        });
        publish();
    }
    if (timers_.budget.is_due(Clock::now()) && is_checked_) {
        const bool is_done = attempt("keeping pins within their budget", timers_.budget,
                                     budget_backoff_, [&] { images.keep_budget(); });
        if (is_done) timers_.budget.set(Clock::now() + kBudgetInterval);
        timers_.publish.set(Clock::now() + kPublishDelay);
    }
    note_changes();
    if (timers_.save.is_due(Clock::now())) save_ledger();
    if (timers_.publish.is_due(Clock::now())) publish();
}

void NodeLoop::Impl::check_everything() {
    is_checked_ = false;
    work_->images->check_everything();
    require_session();
    log_.take_back(kCheckingSuspects);
    is_checked_ = true;
    publish();
    if (work_->images->has_pin_limits()) timers_.budget.set(Clock::now());
}

void NodeLoop::Impl::list_everything() {
    // Earlier repairs must not count as pulls.
    work_->images->settle_accounts();
    const auto now = WallClock::now();
    const std::size_t found = work_->ledger_feed->list_everything(work_->images->snapshotters(),
                                                                  now, [this] { show_life(); });
    work_->ledger.end_gap(now, found);
    note_changes();
    // What whole namespaces took is free now, and would stay with us until the next listing.
    give_back_memory();
}

void NodeLoop::Impl::save_ledger() {
    timers_.save.clear();
    work_->ledger.take_changed(work_->images->images());
    if (work_->ledger.save(work_->images->images())) return;
    timers_.save.set(Clock::now() + kSaveRetry);
    timers_.publish.set(Clock::now());
}

void NodeLoop::Impl::publish() {
    timers_.publish.clear();
    work_->evaluator->publish();
    work_->ledger.note_times(work_->evaluator->times());
}

void NodeLoop::Impl::show_progress(const guard::RepairProgress& progress) {
    require_session();
    show_life(kRepairPatience);
    work_->evaluator->publish_progress(progress);
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
Clock::time_point NodeLoop::last_sign_of_life() const {
    return impl_->last_sign_of_life();
}

}  // namespace prebake::daemon
