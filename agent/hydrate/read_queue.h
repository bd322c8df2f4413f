#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace prebake::hydrate {

inline constexpr std::size_t kMaxReadBytes = 512UL << 10;
/// O_DIRECT: offsets and lengths are multiples of it, and so is the address of the buffer.
inline constexpr std::size_t kReadAlignment = 4096;

/// A read that has ended.
struct ReadDone {
    std::uint64_t tag = 0;
    int error = 0;          ///< errno; 0: none
    std::size_t bytes = 0;  ///< fewer than wanted only at the end of the device
    std::chrono::duration<double> latency{};
};

/// Many reads in flight, whose bytes nobody wants: all go into the same buffer, so the memory does
/// not depend on how many there are. A read that never ends keeps no other one from ending, nor the
/// destructor, which does not wait for reads. Used by one thread.
class ReadQueue {
  public:
    virtual ~ReadQueue() = default;
    /// "io_uring" or "threads".
    virtual std::string name() const = 0;
    /// Starts a read of at most kMaxReadBytes and at most capacity() at a time. The descriptor
    /// stays open until the read has ended or the queue is gone. @throws Error io.
    virtual void submit(int fd, std::uint64_t offset, std::size_t length, std::uint64_t tag) = 0;
    /// The next read that has ended; nothing after `timeout`. @throws Error io.
    virtual std::optional<ReadDone> wait(std::chrono::nanoseconds timeout) = 0;
};

/// @throws Error unsupported, permission_denied, io: this kernel, a filter of system calls or
/// kernel.io_uring_disabled refuses it.
std::unique_ptr<ReadQueue> make_uring_queue(std::size_t capacity);

/// A thread for each read in flight. @throws Error io.
std::unique_ptr<ReadQueue> make_thread_queue(std::size_t capacity);

struct ChosenQueue {
    std::unique_ptr<ReadQueue> queue;
    std::string why_threads;  ///< empty: it is io_uring
};

/// io_uring, or threads where that is refused. @throws Error io.
ChosenQueue make_read_queue(std::size_t capacity);

}  // namespace prebake::hydrate
