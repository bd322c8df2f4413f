#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/daemon/node_loop.h"
#include "agent/ledger/ledger_file.h"
#include "agent/store/labels.h"
#include "agent/store/names.h"
#include "agent/store/record.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/memory_containerd.h"
#include "tests/unit/store/baked_into.h"
#include "tests/unit/temporary_directory.h"

/// What the tests of the loop have in common: a loop, and a containerd for it.
namespace prebake::daemon::node_loop_test {

using namespace std::chrono_literals;

using containerd::fake::MemoryContainerd;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using report::NodeView;
using tests::contains;
using tests::thrown_by;
using View = std::shared_ptr<const NodeView>;
using SteadyClock = std::chrono::steady_clock;

/// Only a defect takes that long.
inline constexpr auto kHang = 60s;

inline const std::string kCri(store::kCriNamespace);
inline const std::string kName = "docker.io/library/app:1";
inline const std::string kPinned(store::kPinnedLabel);

/// The real time, and what the test adds to it.
class TestClock {
  public:
    TimeSource source() const {
        return [this] {
            Moment moment = current_moment();
            const std::chrono::nanoseconds ahead(ahead_.load());
            moment.steady += ahead;
            moment.wall += ahead;
            moment.uptime += ahead;
            return moment;
        };
    }
    void advance(std::chrono::nanoseconds by) { ahead_ += by.count(); }

  private:
    std::atomic<std::chrono::nanoseconds::rep> ahead_ = 0;
};

inline report::IdentityFacts claimed_by(const std::string& instance) {
    report::IdentityFacts facts;
    facts.claim.set_state(v1::Claim::CLAIMED);
    facts.claim.mutable_instance()->set_id(instance);
    return facts;
}

/// As docker::connect().
using Connect = std::function<std::unique_ptr<docker::Engine>(const std::stop_token&)>;

/// A loop on its own thread, and a containerd for it.
struct Scene {
    MemoryContainerd containerd;
    TemporaryDirectory state_dir;
    TemporaryDirectory runtime_dir;
    TestClock clock;
    std::atomic<const char*> instance = "i-1";
    report::StatusHolder holder;
    std::mutex mutex;
    std::condition_variable published;  ///< or reloaded
    std::vector<View> views;            ///< all that were published
    std::size_t seen = 0;               ///< how many of them until() has looked at
    std::size_t reloads = 0;            ///< how often the loop has begun to reload
    /// Called for each line of the log, on the loop's thread. Set it before the start.
    std::function<void(const std::string&)> on_note;
    std::atomic<const char*> order_problem = "";
    std::unique_ptr<NodeLoop> loop;
    std::jthread thread;

    guard::PinLimits limits;
    Connect connect_docker;

    explicit Scene(guard::PinLimits limits_of_pins = {}, Connect connect = {})
        : limits(limits_of_pins), connect_docker(std::move(connect)) {
        containerd.serve_cri();
        // Called after each change, so that no view is missed, however short it lasts.
        holder.on_publish([this] {
            const std::scoped_lock lock(mutex);
            views.push_back(holder.latest());
            published.notify_all();
        });
        make_loop();
    }
    ~Scene() { stop(); }

    /// The next daemon on this node. The last one has to be stopped.
    void make_loop() {
        loop = std::make_unique<NodeLoop>(
            NodeLoopOptions{.address = containerd.socket(),
                            .state_dir = state_dir.path(),
                            .runtime_dir = runtime_dir.path(),
                            .gates = {"ContainerdServing", "ImagesPresent", "ImagesUnpacked"},
                            .pin_limits = limits,
                            .snapshotter = {},
                            .prebake_version = "1",
                            .identity =
                                [this] {
                                    note_reload();
                                    return claimed_by(instance.load());
                                },
                            .configured_runtime = {},
                            .order_problems =
                                [this](bool) {
                                    return report::OrderProblems{.containerd =
                                                                     order_problem.load()};
                                },
                            .note =
                                [this](guard::Severity, const std::string& text) {
                                    if (on_note) on_note(text);
                                },
                            .connect_docker = connect_docker,
                            .clock = clock.source()},
            holder);
    }
    void bake() {
        v1::BakeRecord record;
        *record.add_images() = store::test::bake_into(containerd, kName);
        store::write_record(state_dir.path(), record);
    }
    void start() {
        thread = std::jthread([this](const std::stop_token& end) { loop->run(end); });
    }
    /// Returns when run() has returned.
    void stop() { thread = {}; }

    /// The first view after those of earlier calls for which `is_wanted` is true.
    View until(const std::function<bool(const NodeView&)>& is_wanted) {
        std::unique_lock lock(mutex);
        View found;
        const bool is_found = published.wait_for(lock, kHang, [&] {
            while (!found && seen < views.size()) {
                if (is_wanted(*views[seen])) found = views[seen];
                ++seen;
            }
            return found != nullptr;
        });
        const std::string last = views.empty() ? "" : views.back()->status.DebugString();
        REQUIRE_MESSAGE(is_found, "never published; the last view is ", last);
        return found;
    }
    View until_ready() {
        return until([](const NodeView& view) { return view.status.ready(); });
    }
    /// Returns when what runs has been listed, which is the end of what a new session does.
    void start_and_follow() {
        start();
        until_ready();
        REQUIRE(containerd.wait_for_calls("Namespaces.List", 1));
    }
    /// Lets time pass for the loop, which has to look at its clock again.
    void advance(std::chrono::seconds by) {
        settle();
        clock.advance(by);
        loop->reload(false);
    }
    /// Waits until the loop has planned what follows from the work that is visible already: what it
    /// plans after the time was advanced would be due that much later.
    void settle() {
        // Twice: the first one that is seen may be of an earlier call, with work that is due.
        for (int i = 0; i < 2; ++i) {
            std::unique_lock lock(mutex);
            const std::size_t before = reloads;
            loop->reload(false);
            REQUIRE(published.wait_for(lock, kHang, [&] { return reloads > before; }));
        }
    }
    void note_reload() {
        const std::scoped_lock lock(mutex);
        ++reloads;
        published.notify_all();
    }
    v1::LedgerState stored_ledger() const {
        std::string warning;
        v1::LedgerState ledger = ledger::read_ledger(state_dir.path(), warning);
        CHECK(warning.empty());
        return ledger;
    }
};

inline const v1::Condition& condition(const NodeView& view, const std::string& type) {
    const auto& conditions = view.status.conditions();
    const auto found = std::find_if(conditions.begin(), conditions.end(),
                                    [&](const v1::Condition& one) { return one.type() == type; });
    REQUIRE(found != conditions.end());
    return *found;
}

inline bool is_serving(const NodeView& view) {
    return condition(view, "ContainerdServing").status() == "True";
}

}  // namespace prebake::daemon::node_loop_test
