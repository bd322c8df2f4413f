#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>

namespace prebake::bake {

/// Work that several images share (a blob, a snapshot) is done once: by the first caller, while the
/// others wait.
template <typename Key>
class OnceMap {
  public:
    /// Returns when the work for `key` is done. Runs `work` if it is neither done nor in progress.
    /// If `work` throws, only this caller gets the error, and the next one runs its own `work`: its
    /// image may come from a repository that has the blob complete.
    void run(const Key& key, const std::function<void()>& work) {
        std::unique_lock lock(mutex_);
        State& state = states_[key];  // stable: nodes of a map do not move
        changed_.wait(lock, [&] { return state != State::in_progress; });
        if (state == State::done) return;
        state = State::in_progress;
        lock.unlock();
        try {
            work();
        } catch (...) {
            settle(state, State::undone);
            throw;
        }
        settle(state, State::done);
    }

  private:
    enum class State { undone, in_progress, done };

    void settle(State& state, State outcome) {
        {
            const std::scoped_lock lock(mutex_);
            state = outcome;
        }
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<Key, State> states_;
};

}  // namespace prebake::bake
