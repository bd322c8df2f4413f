#pragma once

#include <cstddef>
#include <filesystem>
#include <stop_token>
#include <string>
#include <thread>

#include "agent/base/file.h"

namespace prebake::hydrate {

/// A pipe in the file system (fifo(7)) for the output of a container. A thread reads it, so that
/// the container never waits, and keeps the end of what comes.
class OutputPipe {
  public:
    /// Creates `path`. @throws Error permission_denied, no_space, io.
    OutputPipe(std::filesystem::path path, std::size_t kept_bytes);
    /// Removes it.
    ~OutputPipe();
    OutputPipe(const OutputPipe&) = delete;
    OutputPipe& operator=(const OutputPipe&) = delete;

    const std::filesystem::path& path() const { return path_; }
    /// To be called when nobody writes into it any more: the last `kept_bytes` of all that came.
    std::string finish();

  private:
    void read(const std::stop_token& stop);
    bool read_some();
    void end_thread();

    std::filesystem::path path_;
    std::size_t kept_bytes_;
    FileDescriptor pipe_;
    FileDescriptor wake_;  // readable when the thread should end
    std::string tail_;     // the thread's, until it has ended
    std::jthread thread_;
};

}  // namespace prebake::hydrate
