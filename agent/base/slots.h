#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace prebake {

/// A mutex that `count` threads at a time can hold: work that is to fill so many processors and no
/// more, on threads that sometimes wait. BasicLockable, for std::unique_lock.
class Slots {
  public:
    explicit Slots(std::size_t count) : free_(count) {}
    Slots(const Slots&) = delete;
    Slots& operator=(const Slots&) = delete;
    ~Slots() = default;

    void lock() {
        std::unique_lock lock(mutex_);
        freed_.wait(lock, [this] { return free_ > 0; });
        --free_;
    }
    void unlock() {
        {
            const std::scoped_lock lock(mutex_);
            ++free_;
        }
        freed_.notify_one();
    }

  private:
    std::mutex mutex_;
    std::condition_variable freed_;
    std::size_t free_;
};

}  // namespace prebake
