#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace prebake::bake {

/// What the threads of a bake spend their time on.
enum class Stage {
    receiving,   ///< bytes from the registry, with waiting for them
    storing,     ///< writing them into the content store
    committing,  ///< until containerd has verified a blob and committed it
    reading,     ///< bytes of a layer to unpack, with waiting for its download
    inflating,   ///< decompressing
    hashing,     ///< for the diffID
    writing,     ///< files and directories
    applying,    ///< until containerd has unpacked a layer
    syncing,     ///< until the snapshots are on the disk
    snapshots,   ///< containerd's calls that prepare and commit them
};
inline constexpr std::size_t kStages = static_cast<std::size_t>(Stage::snapshots) + 1;

/// Lower case: "receiving".
std::string_view to_string(Stage stage);

/// The time of each stage, added up over all threads. Thread-safe.
class StageTimes {
  public:
    using Clock = std::chrono::steady_clock;

    void add(Stage stage, Clock::duration time) {
        times_[static_cast<std::size_t>(stage)] +=
            std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
    }
    /// By to_string(); without those that took no time.
    std::map<std::string, double> seconds() const;

  private:
    std::array<std::atomic<std::chrono::nanoseconds::rep>, kStages> times_{};
};

/// Adds the time until its end.
class StageTimer {
  public:
    StageTimer(StageTimes& times, Stage stage) : times_(times), stage_(stage) {}
    ~StageTimer() { times_.add(stage_, StageTimes::Clock::now() - begin_); }
    StageTimer(const StageTimer&) = delete;
    StageTimer& operator=(const StageTimer&) = delete;

  private:
    StageTimes& times_;
    Stage stage_;
    StageTimes::Clock::time_point begin_ = StageTimes::Clock::now();
};

}  // namespace prebake::bake
