#include "agent/base/worker_pool.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace prebake {

WorkerPool::WorkerPool(std::size_t threads) {
    threads_.reserve(threads);
    for (std::size_t i = 0; i < threads; ++i) {
        threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
    }
}

WorkerPool::~WorkerPool() {
    {
        const std::scoped_lock lock(mutex_);
        waiting_.clear();
    }
    for (std::jthread& thread : threads_) thread.request_stop();
}

std::future<void> WorkerPool::submit(std::function<void()> task) {
    std::packaged_task<void()> packaged(std::move(task));
    std::future<void> result = packaged.get_future();
    {
        const std::scoped_lock lock(mutex_);
        waiting_.push_back(std::move(packaged));
    }
    wake_.notify_one();
    return result;
}

void WorkerPool::run(const std::stop_token& stop) {
    for (;;) {
        std::packaged_task<void()> task;
        {
            std::unique_lock lock(mutex_);
            if (!wake_.wait(lock, stop, [this] { return !waiting_.empty(); })) return;
            task = std::move(waiting_.front());
            waiting_.pop_front();
        }
        task();
    }
}

void for_each_parallel(std::size_t count, std::size_t width,
                       const std::function<void(std::size_t)>& work) {
    std::atomic<std::size_t> next{0};
    const auto drain = [&] {
        for (std::size_t i = next++; i < count; i = next++) work(i);
    };
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(width, count); ++i) threads.emplace_back(drain);
    drain();
}

}  // namespace prebake
