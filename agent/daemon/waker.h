#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::daemon {

/// Wakes a thread that waits in poll(2) (eventfd(2)). Thread-safe.
class Waker {
  public:
    /// @throws Error io.
    Waker() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (!fd_) throw errno_error("cannot make an eventfd for", "the daemon");
    }

    /// From any thread, also from several at once.
    void wake() const {
        const std::uint64_t one = 1;
        // A write fails only if the counter is full: the thread will wake up anyway.
        static_cast<void>(!::write(fd_.get(), &one, sizeof(one)));
    }
    /// Until the next wake(), fd() is not readable.
    void clear() const {
        std::uint64_t count = 0;
        static_cast<void>(!::read(fd_.get(), &count, sizeof(count)));
    }
    /// Readable after wake().
    int fd() const { return fd_.get(); }

  private:
    FileDescriptor fd_;
};

}  // namespace prebake::daemon
