#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <unordered_map>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/hydrate/read_queue.h"
#include "agent/hydrate/shared_buffer.h"

// By system calls: one kind of request, one thread, and a ring that is never full need no library.
namespace prebake::hydrate {
namespace {

/// A ring that the kernel shares with us.
class SharedRing {
  public:
    SharedRing(int fd, std::size_t bytes, std::uint64_t which)
        : bytes_(bytes),
          start_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                        static_cast<off_t>(which))) {
        if (start_ == MAP_FAILED) throw errno_error("cannot map", "a ring of io_uring");
    }
    ~SharedRing() { ::munmap(start_, bytes_); }
    SharedRing(const SharedRing&) = delete;
    SharedRing& operator=(const SharedRing&) = delete;

    template <typename T>
    T* at(std::uint32_t offset) const {
        return reinterpret_cast<T*>(static_cast<char*>(start_) + offset);
    }

  private:
    std::size_t bytes_;
    void* start_;
};

int enter_ring(int fd, unsigned to_submit, unsigned to_complete, unsigned flags,
               const void* argument, std::size_t bytes) {
    return static_cast<int>(
        ::syscall(SYS_io_uring_enter, fd, to_submit, to_complete, flags, argument, bytes));
}

FileDescriptor set_up_ring(std::size_t capacity, io_uring_params& parameters) {
    // Completions that do not fit would have to wait in the kernel.
    parameters.flags = IORING_SETUP_CLAMP;
    const auto fd = static_cast<int>(
        ::syscall(SYS_io_uring_setup, static_cast<unsigned>(capacity), &parameters));
    if (fd < 0) {
        const int problem = errno;
        if (problem == ENOSYS) throw Error(Errc::unsupported, "this kernel has no io_uring");
        if (problem == EPERM || problem == EACCES) {
            throw Error(Errc::permission_denied, "io_uring is not allowed here");
        }
        throw errno_error("cannot set up", "io_uring");
    }
    FileDescriptor ring(fd);
    constexpr std::uint32_t kNeeded = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_EXT_ARG;
    if ((parameters.features & kNeeded) != kNeeded) {
        throw Error(Errc::unsupported, "the io_uring of this kernel is older than Linux 5.11");
    }
    return ring;
}

class UringQueue final : public ReadQueue {
  public:
    explicit UringQueue(std::size_t capacity)
        : ring_(set_up_ring(capacity, parameters_)),
          rings_(ring_.get(), rings_bytes(), IORING_OFF_SQ_RING),
          entries_(ring_.get(), parameters_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES) {
        // Devices that cannot start a read without waiting get a thread of the kernel for each;
        // by default only four for each processor. Before Linux 5.15 it stays so.
        std::array<unsigned, 2> workers{static_cast<unsigned>(capacity), 0};
        static_cast<void>(::syscall(SYS_io_uring_register, ring_.get(),
                                    IORING_REGISTER_IOWQ_MAX_WORKERS, workers.data(), 2U));
    }

    std::string name() const override { return "io_uring"; }

    void submit(int fd, std::uint64_t offset, std::size_t length, std::uint64_t tag) override {
        const auto& at = parameters_.sq_off;
        auto& tail = *rings_.at<std::uint32_t>(at.tail);
        const std::uint32_t mask = *rings_.at<std::uint32_t>(at.ring_mask);
        const std::uint32_t slot = tail & mask;
        io_uring_sqe& entry = entries_.at<io_uring_sqe>(0)[slot];
        entry = {};
        entry.opcode = IORING_OP_READ;
        entry.fd = fd;
        entry.off = offset;
        entry.addr = reinterpret_cast<std::uintptr_t>(buffer_.start());
        entry.len = static_cast<std::uint32_t>(length);
        entry.user_data = tag;
        rings_.at<std::uint32_t>(at.array)[slot] = slot;
        std::atomic_ref(tail).store(tail + 1, std::memory_order_release);
        started_[tag] = std::chrono::steady_clock::now();
        while (enter_ring(ring_.get(), 1, 0, 0, nullptr, 0) < 0) {
            // EAGAIN, EBUSY: out of memory for a moment.
            if (errno != EINTR && errno != EAGAIN && errno != EBUSY) {
                throw errno_error("cannot start a read by", "io_uring");
            }
        }
    }

    std::optional<ReadDone> wait(std::chrono::nanoseconds timeout) override {
        if (auto done = take()) return done;
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
        __kernel_timespec limit{.tv_sec = seconds.count(), .tv_nsec = (timeout - seconds).count()};
        io_uring_getevents_arg argument{};
        argument.ts = reinterpret_cast<std::uintptr_t>(&limit);
        constexpr unsigned kFlags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
        if (enter_ring(ring_.get(), 0, 1, kFlags, &argument, sizeof argument) < 0 &&
            errno != ETIME && errno != EINTR && errno != EAGAIN && errno != EBUSY) {
            throw errno_error("cannot wait for", "io_uring");
        }
        return take();
    }

  private:
    std::size_t rings_bytes() const {
        const std::size_t submissions =
            parameters_.sq_off.array + parameters_.sq_entries * sizeof(std::uint32_t);
        const std::size_t completions =
            parameters_.cq_off.cqes + parameters_.cq_entries * sizeof(io_uring_cqe);
        return std::max(submissions, completions);
    }

    std::optional<ReadDone> take() {
        const auto& at = parameters_.cq_off;
        auto& head = *rings_.at<std::uint32_t>(at.head);
        auto& tail = *rings_.at<std::uint32_t>(at.tail);
        if (head == std::atomic_ref(tail).load(std::memory_order_acquire)) return std::nullopt;
        const std::uint32_t mask = *rings_.at<std::uint32_t>(at.ring_mask);
        const io_uring_cqe& entry = rings_.at<io_uring_cqe>(at.cqes)[head & mask];
        ReadDone done{.tag = entry.user_data};
        if (entry.res < 0) {
            done.error = -entry.res;
        } else {
            done.bytes = static_cast<std::size_t>(entry.res);
        }
        std::atomic_ref(head).store(head + 1, std::memory_order_release);
        const auto started = started_.extract(done.tag);
        if (!started.empty()) done.latency = std::chrono::steady_clock::now() - started.mapped();
        return done;
    }

    io_uring_params parameters_{};
    SharedBuffer buffer_{kMaxReadBytes};
    FileDescriptor ring_;
    SharedRing rings_;
    SharedRing entries_;
    std::unordered_map<std::uint64_t, std::chrono::steady_clock::time_point> started_;
};

}  // namespace

std::unique_ptr<ReadQueue> make_uring_queue(std::size_t capacity) {
    return std::make_unique<UringQueue>(capacity);
}

}  // namespace prebake::hydrate
