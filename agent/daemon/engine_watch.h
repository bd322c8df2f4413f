#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/backoff.h"
#include "agent/base/clock.h"
#include "agent/base/timestamp.h"
#include "agent/daemon/engine_news.h"
#include "agent/daemon/event_queue.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::daemon {

/// How an EngineWatch reaches dockerd.
struct EngineAccess {
    /// As docker::connect().
    std::function<std::unique_ptr<docker::Engine>(const std::stop_token&)> connect;
    /// As store::check_engine().
    std::function<std::vector<store::Finding>(const v1::BakeRecord&, docker::Engine&)> check;
    std::function<docker::DaemonFile()> read_file;
    TimeSource clock = current_moment;
};

/// Talks to dockerd, so that the loop never waits for it: follows it on threads of its own for as
/// long as this object lives, comes back to it with growing delays, and puts what it learns into
/// the queue: EngineAnswered, then EngineSeen, and EngineHappened for each event; at the end
/// EngineGone. While dockerd keeps its images in containerd, it is only asked what it is.
class EngineWatch {
  public:
    /// `images` are those of the record that are in a graph driver.
    EngineWatch(EngineAccess access, EventQueue& queue, v1::BakeRecord images);
    ~EngineWatch();
    EngineWatch(const EngineWatch&) = delete;
    EngineWatch& operator=(const EngineWatch&) = delete;

    /// Reads everything again, now, with these recorded images; also if dockerd was given up for a
    /// while. Thread-safe.
    void look_at(v1::BakeRecord images);
    /// Gives images these names again; an EngineSeen has the outcome. Thread-safe.
    void tag(std::vector<guard::LostTag> tags);

  private:
    class Session;

    void follow(const std::stop_token& stop);
    void wait(std::chrono::milliseconds delay, const std::stop_token& stop);

    /// What the loop wants, and what the stream of events brings.
    struct Inbox {
        v1::BakeRecord record;
        bool wants_everything = false;
        std::vector<guard::LostTag> tags;
        std::deque<docker::EngineEvent> events;
        bool is_subscribed = false;
        std::optional<Error> end;  ///< of the stream
    };

    const EngineAccess access_;
    EventQueue& queue_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    Inbox inbox_;
    /// Later events have not come. The next session asks for them: dockerd remembers what happened
    /// since its own start.
    Time seen_until_;
    std::jthread thread_;  // last: it uses the other members
};

}  // namespace prebake::daemon
