#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <thread>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/cli/commands.h"
#include "agent/cli/identity_facts.h"
#include "agent/cli/log.h"
#include "agent/daemon/file_watch.h"
#include "agent/daemon/node_loop.h"
#include "agent/daemon/publication.h"
#include "agent/daemon/service_notifier.h"
#include "agent/report/endpoint.h"
#include "agent/report/status_holder.h"

namespace prebake::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// A call to containerd may take its ten minutes (it waits for a lock while a layer is synced).
constexpr std::chrono::minutes kLongestSilence{12};
/// Whatever is due later: what poll(2) takes and clocks count has an end.
constexpr std::chrono::hours kLongestSleep{1};

/// Wakes the main thread from any other.
class Doorbell {
  public:
    Doorbell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (!fd_) throw errno_error("cannot make an eventfd for", "the daemon");
    }
    void ring() const {
        const std::uint64_t one = 1;
        // Full means that it rings already.
        static_cast<void>(!write(fd_.get(), &one, sizeof(one)));
    }
    void silence() const {
        std::uint64_t count = 0;
        static_cast<void>(!read(fd_.get(), &count, sizeof(count)));
    }
    int fd() const { return fd_.get(); }

  private:
    FileDescriptor fd_;
};

void note(guard::Severity severity, const std::string& text) {
    switch (severity) {
        case guard::Severity::error:
            return log_error(Error(Errc::internal, text));
        case guard::Severity::warning:
            return log_warning(text);
        case guard::Severity::info:
            return log_info(text);
        case guard::Severity::debug:
            return log_debug(text);
    }
}

/// The main thread of the daemon: passes on what the keeper finds, talks to systemd, and sees that
/// the others live.
class Service {
  public:
    Service(const Invocation& invocation, StopSignals& signals)
        : invocation_(invocation),
          config_(invocation.config),
          signals_(signals),
          files_(invocation.state_dir, {"bake.json", "claim.json"}),
          publication_({.socket = config_.endpoint.socket, .ssm_inventory = config_.ssm_inventory},
                       notifier_, log_warning),
          keeper_(keeper_options(), board_) {
        board_.on_publish([this] {
            bell_.ring();
            if (endpoint_) endpoint_->board_changed();
        });
        signals_.on_hangup([this] {
            is_reload_asked_ = true;
            bell_.ring();
        });
    }
    ~Service() { signals_.on_hangup({}); }
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    ExitCode run() {
        endpoint_.emplace(config_.endpoint, board_, log_warning);
        const std::stop_callback on_stop(signals_.token(), [this] { bell_.ring(); });
        std::jthread keeper([this](const std::stop_token& stop) { keep(stop); });
        while (!signals_.token().stop_requested() && !is_keeper_gone_) {
            pass();
            wait();
        }
        notifier_.stopping();
        keeper.request_stop();
        keeper.join();
        endpoint_.reset();
        if (failure_) std::rethrow_exception(failure_);
        return ExitCode::done;
    }

  private:
    daemon::KeeperOptions keeper_options() {
        return {.address = config_.address,
                .state_dir = invocation_.state_dir,
                .gates = config_.gates,
                .pin_limits = config_.pin_limits,
                .snapshotter = config_.snapshotter,
                .prebake_version = PREBAKE_VERSION,
                .identity =
                    [this] {
                        return read_identity_facts(machine::Root("/"),
                                                   invocation_.state_dir.string());
                    },
                .configured_runtime =
                    [this] { return containerd::read_config_file(config_.containerd_config); },
                .note = note};
    }

    void keep(const std::stop_token& stop) {
        try {
            keeper_.run(stop);
        } catch (...) {
            failure_ = std::current_exception();
        }
        is_keeper_gone_ = true;
        bell_.ring();
    }

    void pass() {
        const Clock::time_point now = Clock::now();
        bell_.silence();
        const bool is_hangup = is_reload_asked_.exchange(false);
        if (is_hangup) {
            notifier_.reloading();
            log_info(
                "reading the bake record and the claim again; the configuration is read at "
                "the start alone");
        }
        // Who asks for it may have mended something that no event tells of.
        if (files_.take_changed() || is_hangup) keeper_.reload(is_hangup);
        publication_.update(board_.latest(), now);
        if (!is_ready_told_ || is_hangup) notifier_.ready();
        is_ready_told_ = true;
        feed_watchdog(now);
    }

    void feed_watchdog(Clock::time_point now) {
        if (now - keeper_.last_sign_of_life() < kLongestSilence) notifier_.watchdog();
    }

    /// Until something happens, or something is due.
    void wait() const {
        const Clock::time_point now = Clock::now();
        std::optional<Clock::time_point> due = publication_.next_due();
        const auto by = [&](Clock::time_point time) { due = due ? std::min(*due, time) : time; };
        if (const auto interval = notifier_.watchdog_interval()) {
            by(now + std::min<std::chrono::microseconds>(*interval, kLongestSleep));
        }
        std::array<pollfd, 2> fds{pollfd{.fd = bell_.fd(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = files_.fd(), .events = POLLIN, .revents = 0}};
        int timeout = -1;
        if (due) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - now).count();
            timeout = static_cast<int>(std::clamp<std::int64_t>(
                left, 0, std::chrono::milliseconds(kLongestSleep).count()));
        }
        static_cast<void>(poll(fds.data(), fds.size(), timeout));
    }

    const Invocation& invocation_;
    const Config& config_;
    StopSignals& signals_;
    const daemon::ServiceNotifier notifier_;
    const Doorbell bell_;
    daemon::FileWatch files_;
    report::Board board_;
    daemon::Publication publication_;
    daemon::Keeper keeper_;
    std::optional<report::Endpoint> endpoint_;
    std::atomic<bool> is_reload_asked_ = false;
    std::atomic<bool> is_keeper_gone_ = false;
    std::exception_ptr failure_;
    bool is_ready_told_ = false;  ///< to systemd
};

}  // namespace

ExitCode daemon_command(const Invocation& invocation, StopSignals& signals) {
    return Service(invocation, signals).run();
}

}  // namespace prebake::cli
