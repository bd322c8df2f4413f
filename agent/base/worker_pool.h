#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

namespace prebake {

/// A fixed number of threads that run tasks in the order of submission. The destructor waits for
/// the running tasks and drops the waiting ones (their futures report broken_promise).
class WorkerPool {
  public:
    explicit WorkerPool(std::size_t threads);
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    /// The future gets the exception that `task` throws.
    std::future<void> submit(std::function<void()> task);

  private:
    void run(const std::stop_token& stop);

    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::deque<std::packaged_task<void()>> waiting_;
    std::vector<std::jthread> threads_;  // last: joined before the rest goes away
};

/// Calls work(0) … work(count - 1), at most `width` at a time, and returns when all are done.
/// `work` must not throw: it puts the error for an item into that item's result.
void for_each_parallel(std::size_t count, std::size_t width,
                       const std::function<void(std::size_t)>& work);

}  // namespace prebake
