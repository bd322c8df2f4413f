#pragma once

#include <condition_variable>
#include <mutex>
#include <queue>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/slow_disk/cold_model.h"
#include "tests/support/slow_disk/disk_image.h"

struct fuse_req;

namespace slow_disk {

/// The disk as the file `disk` of a FUSE file system. Requests that wait for a load occupy no
/// thread: one thread answers them when their time has come.
class ServedFile {
  public:
    ServedFile(DiskImage& image, ColdModel& model);
    ~ServedFile();
    ServedFile(const ServedFile&) = delete;
    ServedFile& operator=(const ServedFile&) = delete;

    void read(fuse_req* request, Range range);
    void write(fuse_req* request, std::span<const char> data, std::uint64_t offset);
    std::uint64_t size() const { return image_.size(); }

  private:
    struct Waiting {
        Answer answer;
        fuse_req* request = nullptr;
        Range range;
        bool operator<(const Waiting& other) const { return answer.at > other.answer.at; }
    };

    void answer_reads(const std::stop_token& stop);
    void reply(const Waiting& read, std::vector<char>& buffer);

    DiskImage& image_;
    ColdModel& model_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::priority_queue<Waiting> waiting_;  // the earliest at the top
    std::jthread thread_;
};

/// Serves it below the directory until a signal ends the program, with so many requests of the
/// kernel at a time.
/// @returns the exit status
int serve(ServedFile& file, const std::string& directory, unsigned max_background);

}  // namespace slow_disk
