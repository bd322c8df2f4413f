#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/error.h"
#include "agent/containerd/connection.h"
#include "agent/hydrate/output_pipe.h"
#include "agent/oci/runtime_spec.h"

namespace prebake::hydrate {

/// An unpacked image of containerd.
struct RunnableImage {
    std::string name;
    std::string ns;
    std::string snapshotter;
    std::string snapshot;  ///< the uppermost one
    oci::RunConfig config;
};

/// A container of ours, from its creation to its removal. Its ID begins with
/// store::kRecordedPrefix.
class RecordedContainer {
  public:
    /// Creates it; nothing runs yet. Its pipe is in a directory of its own in `runtime`.
    /// @throws Error; then nothing is left.
    RecordedContainer(const containerd::Connection& connection, const RunnableImage& image,
                      std::vector<std::string> program, const oci::ContainerUser& user,
                      oci::ContainerNetwork network, const std::filesystem::path& runtime);
    /// As remove(), but what fails is left to remove_leftovers().
    ~RecordedContainer();
    RecordedContainer(const RecordedContainer&) = delete;
    RecordedContainer& operator=(const RecordedContainer&) = delete;

    /// @throws Error with the reason of runc.
    void start();
    /// Waits until the process ends or a stop is requested, at most until `deadline`. Returns its
    /// exit status if it has ended. @throws Error cancelled; or why its end cannot be seen.
    std::optional<std::uint32_t> wait_until(std::chrono::steady_clock::time_point deadline,
                                            const std::stop_token& stop);
    /// Kills what still runs, and removes all of it. @throws Error.
    void remove();

    std::uint32_t process_id() const { return process_id_; }
    /// Removes it, and returns the end of what it wrote.
    std::string take_output();

  private:
    void create(const RunnableImage& image, const std::string& spec);
    void wait();

    std::string id_;
    std::string ns_;
    std::string snapshotter_;
    std::filesystem::path directory_;
    std::optional<OutputPipe> output_;
    std::uint32_t process_id_ = 0;
    // A stop that ends the recording must not end its clean-up, and the end of the waiting is not
    // the end of the recording.
    containerd::Connection clean_up_;
    std::stop_source stop_waiting_;
    containerd::Connection waiting_;
    bool is_removed_ = false;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::optional<std::uint32_t> status_;
    std::optional<Error> failure_;
    std::jthread waiter_;
};

/// Removes what recordings that were killed have left: containers and leases in all namespaces, and
/// directories in `runtime`. No other recording may run.
void remove_leftovers(const containerd::Connection& connection,
                      const std::filesystem::path& runtime);

}  // namespace prebake::hydrate
