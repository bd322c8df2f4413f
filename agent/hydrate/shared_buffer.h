#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::hydrate {

/// Memory that reads write to and nobody reads. It has pages of its own, not of the heap: the
/// kernel may still write to them when a read that never ended has been given up.
class SharedBuffer {
  public:
    explicit SharedBuffer(std::size_t bytes)
        : bytes_(bytes),
          start_(
              ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
        if (start_ == MAP_FAILED) throw errno_error("cannot allocate", "a buffer for reads");
    }
    ~SharedBuffer() { ::munmap(start_, bytes_); }
    SharedBuffer(const SharedBuffer&) = delete;
    SharedBuffer& operator=(const SharedBuffer&) = delete;

    void* start() const { return start_; }

  private:
    std::size_t bytes_;
    void* start_;
};

}  // namespace prebake::hydrate
