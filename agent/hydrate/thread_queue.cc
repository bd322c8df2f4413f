#include <pthread.h>
#include <sys/uio.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "agent/base/error.h"
#include "agent/hydrate/read_queue.h"
#include "agent/hydrate/shared_buffer.h"

namespace prebake::hydrate {
namespace {

// A read needs next to nothing of it.
constexpr std::size_t kStackBytes = 128UL << 10;

struct QueuedRead {
    int fd = -1;
    std::uint64_t offset = 0;
    std::size_t length = 0;
    std::uint64_t tag = 0;
};

/// What the threads share with the queue. A thread whose read never ends keeps it alive.
struct ThreadedReads {
    std::mutex mutex;
    std::condition_variable wanted;
    std::condition_variable ended;
    std::deque<QueuedRead> waiting;
    std::deque<ReadDone> done;
    std::size_t threads = 0;
    std::size_t idle = 0;
    bool is_over = false;
    SharedBuffer buffer{kMaxReadBytes};
};

ReadDone read_now(const QueuedRead& read, void* buffer) {
    ReadDone done{.tag = read.tag};
    const auto started = std::chrono::steady_clock::now();
    const iovec place{.iov_base = buffer, .iov_len = read.length};
    ssize_t bytes = -1;
    do {
        bytes = ::preadv2(read.fd, &place, 1, static_cast<off_t>(read.offset), 0);
    } while (bytes < 0 && errno == EINTR);
    if (bytes < 0) {
        done.error = errno;
    } else {
        done.bytes = static_cast<std::size_t>(bytes);
    }
    done.latency = std::chrono::steady_clock::now() - started;
    return done;
}

void serve(const std::shared_ptr<ThreadedReads>& reads) {
    std::unique_lock lock(reads->mutex);
    for (;;) {
        ++reads->idle;
        reads->wanted.wait(lock, [&] { return reads->is_over || !reads->waiting.empty(); });
        --reads->idle;
        if (reads->is_over) return;
        const QueuedRead read = reads->waiting.front();
        reads->waiting.pop_front();
        lock.unlock();
        const ReadDone done = read_now(read, reads->buffer.start());
        lock.lock();
        reads->done.push_back(done);
        reads->ended.notify_one();
    }
}

/// Detached: the kernel does not let go of a thread before its read has ended.
int start_reader(const std::shared_ptr<ThreadedReads>& reads) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    auto own = std::make_unique<std::shared_ptr<ThreadedReads>>(reads);
    pthread_t unused{};
    const int problem = ::pthread_create(
        &unused, &attributes,
        [](void* given) -> void* {
            const std::unique_ptr<std::shared_ptr<ThreadedReads>> shared(
                static_cast<std::shared_ptr<ThreadedReads>*>(given));
            serve(*shared);
            return nullptr;
        },
        own.get());
    pthread_attr_destroy(&attributes);
    if (problem == 0) static_cast<void>(own.release());
    return problem;
}

class ThreadQueue final : public ReadQueue {
  public:
    explicit ThreadQueue(std::size_t capacity)
        : capacity_(capacity), reads_(std::make_shared<ThreadedReads>()) {}
    ~ThreadQueue() override {
        const std::scoped_lock lock(reads_->mutex);
        reads_->is_over = true;
        reads_->wanted.notify_all();
    }
    ThreadQueue(const ThreadQueue&) = delete;
    ThreadQueue& operator=(const ThreadQueue&) = delete;

    std::string name() const override { return "threads"; }

    void submit(int fd, std::uint64_t offset, std::size_t length, std::uint64_t tag) override {
        const std::scoped_lock lock(reads_->mutex);
        reads_->waiting.push_back({.fd = fd, .offset = offset, .length = length, .tag = tag});
        if (reads_->idle < reads_->waiting.size() && reads_->threads < capacity_) {
            const int problem = start_reader(reads_);
            // With fewer threads than wanted the read waits for one of them.
            if (problem != 0 && reads_->threads == 0) {
                errno = problem;
                throw errno_error("cannot start", "a thread that reads");
            }
            if (problem == 0) ++reads_->threads;
        }
        reads_->wanted.notify_one();
    }

    std::optional<ReadDone> wait(std::chrono::nanoseconds timeout) override {
        std::unique_lock lock(reads_->mutex);
        if (!reads_->ended.wait_for(lock, timeout, [&] { return !reads_->done.empty(); })) {
            return std::nullopt;
        }
        const ReadDone done = reads_->done.front();
        reads_->done.pop_front();
        return done;
    }

  private:
    std::size_t capacity_;
    std::shared_ptr<ThreadedReads> reads_;
};

}  // namespace

std::unique_ptr<ReadQueue> make_thread_queue(std::size_t capacity) {
    return std::make_unique<ThreadQueue>(capacity);
}

ChosenQueue make_read_queue(std::size_t capacity) {
    try {
        return {.queue = make_uring_queue(capacity), .why_threads = {}};
    } catch (const Error& refused) {
        return {.queue = make_thread_queue(capacity), .why_threads = refused.message()};
    }
}

}  // namespace prebake::hydrate
