#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace prebake::hydrate {

struct DepthLimits {
    unsigned start = 16;
    unsigned least = 1;
    unsigned most = 64;
    /// Of a cold chunk that waits for no other one; 0: unknown.
    std::chrono::duration<double> cold_read{};
};

/// Decides how many reads are in flight. Below some depth, the knee, a disk does more at once if it
/// is asked for more; above it, reads only wait longer, and so do all other readers of the
/// disk. This finds the knee, stays there, and looks now and then whether it has moved. Pure.
class DepthControl {
  public:
    using Time = std::chrono::steady_clock::time_point;

    explicit DepthControl(DepthLimits limits);

    unsigned depth() const { return depth_; }

    /// A chunk was read.
    void on_done(Time now, std::chrono::duration<double> latency);
    /// A read failed or takes far too long: half as many.
    void on_error();
    /// Fewer reads are in flight than depth(), because of a limit of rate or of others who read:
    /// what comes next says nothing about the disk.
    void restart_measurement();
    /// The volume is at its own limit, by its log: more reads in flight cannot help.
    void set_throttled(bool is_throttled) { is_throttled_ = is_throttled; }

  private:
    enum class Phase {
        climbing,  ///< each step has more in flight, as long as that makes it faster
        sinking,   ///< each step has fewer in flight, as long as that does not make it slower
        holding
    };

    bool is_far_too_deep();
    void judge(double rate);
    void climb(double rate);
    void sink(double rate);
    void hold(double rate);
    void go_to(unsigned depth);
    unsigned clamped(double depth) const;

    DepthLimits limits_;
    unsigned depth_;
    double shrink_;  ///< the next step of sinking
    Phase phase_ = Phase::climbing;
    unsigned done_ = 0;     ///< reads since the depth was set or measured
    unsigned skipped_ = 0;  ///< how many of them were asked for before that
    Time since_{};          ///< when the measurement began
    double last_rate_ = 0;  ///< at the step before; 0: there was none
    unsigned last_depth_ = 0;
    double reference_ = 0;  ///< the rate that sinking must not lose
    unsigned held_ = 0;     ///< measurements since holding began
    bool is_throttled_ = false;
    bool is_first_ = true;  ///< nothing has been decided yet
    double growth_;
    std::vector<double> first_latencies_;  ///< as long as is_first_
};

/// The depth to begin with on a disk whose cold chunks take that long: what fills the volumes that
/// most machines have (gp3: 125 MiB/s). Without a measurement: DepthLimits::start. Pure.
unsigned first_depth(std::chrono::duration<double> cold_read, unsigned most);

/// A limit of bytes a second, with a reserve of a tenth of a second. Pure.
class RateLimit {
  public:
    using Time = std::chrono::steady_clock::time_point;

    /// 0: no limit.
    explicit RateLimit(std::uint64_t bytes_per_second);

    /// How long to wait before the next read.
    std::chrono::nanoseconds delay(Time now);
    /// A read of that size was started.
    void take(std::uint64_t bytes);

  private:
    double rate_;
    double most_;
    double left_;
    Time refilled_{};
};

}  // namespace prebake::hydrate
