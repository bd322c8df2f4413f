#pragma once

#include <cstdint>
#include <shared_mutex>
#include <span>
#include <string>
#include <vector>

#include "tests/support/slow_disk/cold_model.h"

namespace slow_disk {

/// An open file, closed at the end.
class File {
  public:
    explicit File(int fd) : fd_(fd) {}
    ~File();
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    int fd() const { return fd_; }

  private:
    int fd_;
};

/// The bytes of the disk: a file, and what was written since the last snapshot, in memory. Errors
/// are std::system_error. Thread-safe.
class DiskImage {
  public:
    explicit DiskImage(const std::string& path);

    std::uint64_t size() const { return size_; }
    void read(std::span<char> out, std::uint64_t offset) const;
    void write(std::span<const char> data, std::uint64_t offset);

    /// What is there now is what discard_changes() returns to. Until the first snapshot, writes go
    /// to the file.
    void take_snapshot();
    void discard_changes();

    /// What was never written, at the last snapshot.
    std::vector<Range> holes() const;

  private:
    bool is_changed(std::uint64_t block) const { return !changed_.empty() && changed_[block]; }
    std::uint64_t block_bytes(std::uint64_t block) const;
    void copy_block(std::uint64_t block);

    File file_;
    File changes_;
    std::uint64_t size_;
    std::vector<bool> changed_;  // by block; empty before the first snapshot
    mutable std::shared_mutex mutex_;
};

}  // namespace slow_disk
