#include "agent/daemon/service.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <thread>
#include <utility>

#include "agent/hydrate/documents.h"

namespace prebake::daemon {
namespace {

using Clock = std::chrono::steady_clock;

/// One call to containerd may take ten minutes: it waits for a lock while a layer is synced.
constexpr std::chrono::minutes kLongestSilence{12};
/// Bounds what is passed to poll(2), whose timeout is an int of milliseconds.
constexpr std::chrono::hours kLongestSleep{1};

}  // namespace

Service::Service(ServiceOptions options)
    : options_(with_endpoint(std::move(options))),
      files_(options_.loop.state_dir, {"bake.json", "claim.json"}),
      plan_(options_.loop.state_dir, {hydrate::plan_path("").string()}),
      progress_(options_.loop.runtime_dir, {hydrate::progress_path("").string()}),
      publication_({.socket = options_.endpoint.socket, .ssm_inventory = options_.ssm_inventory},
                   notifier_, warning_log()),
      loop_(options_.loop, holder_) {
    holder_.on_publish([this] {
        waker_.wake();
        if (endpoint_) endpoint_->status_changed();
    });
}

ServiceOptions Service::with_endpoint(ServiceOptions options) {
    options.loop.endpoint_problem = [this] {
        return endpoint_ ? endpoint_->problem() : std::string();
    };
    return options;
}

void Service::log(guard::Severity severity, const std::string& text) const {
    if (options_.loop.note) options_.loop.note(severity, text);
}

std::function<void(const std::string&)> Service::warning_log() const {
    return [this](const std::string& text) { log(guard::Severity::warning, text); };
}

void Service::run(const std::stop_token& stop) {
    if (!files_.obstacle().empty()) {
        log(guard::Severity::warning,
            "no file watch is left (" + files_.obstacle() +
                "): a new bake record or claim is noticed a few seconds late; raise this sysctl");
    }
    endpoint_.emplace(options_.endpoint, holder_, [this](const std::string& text) {
        log(guard::Severity::warning, text);
        loop_.reload(false);  // for the condition
    });
    const std::stop_callback on_stop(stop, [this] { waker_.wake(); });
    std::jthread loop([this](const std::stop_token& end) { run_loop(end); });
    while (!stop.stop_requested() && !has_loop_ended_) {
        handle_wakeup();
        wait();
    }
    notifier_.stopping();
    loop.request_stop();
    loop.join();
    endpoint_.reset();
    if (failure_) std::rethrow_exception(failure_);
}

void Service::reload() {
    is_reload_requested_ = true;
    waker_.wake();
}

void Service::run_loop(const std::stop_token& stop) {
    try {
        loop_.run(stop);
    } catch (...) {
        failure_ = std::current_exception();
    }
    has_loop_ended_ = true;
    waker_.wake();
}

void Service::handle_wakeup() {
    const Clock::time_point now = Clock::now();
    waker_.clear();
    const bool is_reload = is_reload_requested_.exchange(false);
    if (is_reload) {
        notifier_.reloading();
        log(guard::Severity::info,
            "reading the bake record and the claim again; changes of the configuration need a "
            "restart");
    }
    // An operator who reloads may have repaired something that causes no event.
    if (files_.take_changed() || is_reload) loop_.reload(is_reload);
    const bool is_other_plan = plan_.take_changed();
    if (progress_.take_changed() || is_other_plan) loop_.hydration_changed();
    publication_.update(holder_.latest(), now);
    if (!is_ready_sent_ || is_reload) notifier_.ready();
    is_ready_sent_ = true;
    feed_watchdog(now);
}

void Service::feed_watchdog(Clock::time_point now) {
    if (now - loop_.last_sign_of_life() < kLongestSilence) notifier_.watchdog();
}

/// Until another thread wakes us, a file changes, or something is due.
void Service::wait() const {
    const Clock::time_point now = Clock::now();
    std::optional<Clock::time_point> due = publication_.next_due();
    if (const auto interval = notifier_.watchdog_interval()) {
        const auto next = now + std::min<std::chrono::microseconds>(*interval, kLongestSleep);
        due = due ? std::min<Clock::time_point>(*due, next) : next;
    }
    std::array<pollfd, 4> fds{pollfd{.fd = waker_.fd(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = files_.fd(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = plan_.fd(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = progress_.fd(), .events = POLLIN, .revents = 0}};
    int timeout = -1;
    if (due) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - now).count();
        timeout = static_cast<int>(
            std::clamp<std::int64_t>(left, 0, std::chrono::milliseconds(kLongestSleep).count()));
    }
    static_cast<void>(::poll(fds.data(), fds.size(), timeout));
}

}  // namespace prebake::daemon
