#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <stop_token>

namespace prebake {

/// A mutex that `count` threads at a time can hold: work that is to fill so many processors, or
/// connections, and no more, on threads that sometimes wait. Lockable, for std::unique_lock.
class Slots {
  public:
    explicit Slots(std::size_t count) : free_(count) {}
    Slots(const Slots&) = delete;
    Slots& operator=(const Slots&) = delete;
    ~Slots() = default;

    void lock() { lock(std::stop_token()); }
    /// False if a stop was requested before a slot was free.
    bool lock(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        ++waiting_;
        const bool is_free = freed_.wait(lock, stop, [this] { return free_ > 0; });
        --waiting_;
        if (is_free) --free_;
        return is_free;
    }
    /// Takes a slot that nobody else waits for.
    bool try_lock() {
        const std::scoped_lock lock(mutex_);
        if (free_ <= waiting_) return false;
        --free_;
        return true;
    }
    void unlock() {
        {
            const std::scoped_lock lock(mutex_);
            ++free_;
        }
        freed_.notify_one();
    }
    /// Whether more threads wait than slots are free: a holder that does not need its slot should
    /// unlock.
    bool is_wanted() const {
        const std::scoped_lock lock(mutex_);
        return waiting_ > free_;
    }

  private:
    mutable std::mutex mutex_;
    std::condition_variable_any freed_;
    std::size_t free_;
    std::size_t waiting_ = 0;
};

}  // namespace prebake
