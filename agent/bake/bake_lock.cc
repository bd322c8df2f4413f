#include "agent/bake/bake_lock.h"

#include <algorithm>
#include <string>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/wait.h"

namespace prebake::bake {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLockPoll{50};
constexpr milliseconds kSilentWait{1000};
/// Even without patience: the daemon holds the locks for a moment when it looks at them.
constexpr milliseconds kLeastWait{100};

std::filesystem::path lock_file(const std::filesystem::path& state_dir) {
    return state_dir / "bake.lock";
}

/// Held by the bake that is next: a repair that would take the lock before it leaves it free.
std::filesystem::path turn_file(const std::filesystem::path& state_dir) {
    return state_dir / "bake.next.lock";
}

/// Takes one lock after the other, with one time limit.
class Waiter {
  public:
    Waiter(const BakeLock::Patience& patience, const std::stop_token& stop)
        : patience_(patience), stop_(stop) {}

    FileLock take(const std::filesystem::path& path) {
        for (;;) {
            try {
                return FileLock(path);
            } catch (const Error& error) {
                if (error.code() != Errc::conflict) throw;
                wait(path);
            }
        }
    }

  private:
    void wait(const std::filesystem::path& path) {
        const auto waited = std::chrono::duration_cast<milliseconds>(Clock::now() - begin_);
        const milliseconds limit = std::max(patience_.time_limit, kLeastWait);
        if (waited >= limit) {
            throw Error(Errc::timed_out,
                        "another bake, or a repair by the daemon, holds " + path.string() +
                            (patience_.time_limit.count() == 0
                                 ? ""
                                 : " for more than " + format_duration(patience_.time_limit)),
                        "wait for it to end, give it more time (--lock-timeout), or use another "
                        "--state-dir");
        }
        if (waited >= kSilentWait && !is_said_) {
            is_said_ = true;
            if (patience_.on_wait) {
                patience_.on_wait(
                    "waiting for another bake, or a repair by the daemon, which holds " +
                    path.string());
            }
        }
        sleep_for(std::min(kLockPoll, limit - waited), stop_);
    }

    const BakeLock::Patience& patience_;
    const std::stop_token& stop_;
    const Clock::time_point begin_ = Clock::now();
    bool is_said_ = false;
};

}  // namespace

BakeLock::BakeLock(const std::filesystem::path& state_dir, const Patience& patience,
                   const std::stop_token& stop) {
    Waiter waiter(patience, stop);
    const FileLock turn = waiter.take(turn_file(state_dir));
    lock_ = waiter.take(lock_file(state_dir));
}

BakeLock BakeLock::for_repair(const std::filesystem::path& state_dir) {
    const FileLock turn(turn_file(state_dir));
    return BakeLock(FileLock(lock_file(state_dir)));
}

bool BakeLock::is_busy(const std::filesystem::path& state_dir) {
    try {
        for_repair(state_dir);
        return false;
    } catch (const Error& error) {
        return error.code() == Errc::conflict;
    }
}

}  // namespace prebake::bake
