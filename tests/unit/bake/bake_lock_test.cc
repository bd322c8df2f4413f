#include "agent/bake/bake_lock.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::bake::bake_lock_test {

using namespace std::chrono_literals;
using tests::thrown_by;

constexpr auto kHang = 60s;

struct Scene {
    TemporaryDirectory state_dir;
    std::stop_source stop;

    std::unique_ptr<BakeLock> bake(std::chrono::milliseconds time_limit = kHang,
                                   std::function<void(const std::string&)> on_wait = {}) {
        return std::make_unique<BakeLock>(
            state_dir.path(),
            BakeLock::Patience{.time_limit = time_limit, .on_wait = std::move(on_wait)},
            stop.get_token());
    }
    /// Returns once a bake waits.
    void until_a_bake_waits() const {
        for (;;) {
            try {
                const FileLock turn(state_dir.path() / "bake.next.lock");
            } catch (const Error&) {
                return;
            }
            std::this_thread::yield();
        }
    }
};

TEST_CASE("a bake and a repair keep each other out") {
    Scene scene;
    CHECK(!BakeLock::is_busy(scene.state_dir.path()));
    auto bake = scene.bake();
    CHECK(BakeLock::is_busy(scene.state_dir.path()));
    CHECK(thrown_by([&] { BakeLock::for_repair(scene.state_dir.path()); }).code() ==
          Errc::conflict);
    bake.reset();
    const BakeLock repair = BakeLock::for_repair(scene.state_dir.path());
    const Error error = thrown_by([&] { scene.bake(0ms); });
    CHECK(error.code() == Errc::timed_out);
    CHECK(error.message().find("bake.lock") != std::string::npos);
}

TEST_CASE("a bake waits for a repair, and no other repair comes before it") {
    Scene scene;
    auto repair = std::make_unique<BakeLock>(BakeLock::for_repair(scene.state_dir.path()));
    auto bake = std::async(std::launch::async, [&] { return scene.bake(); });
    scene.until_a_bake_waits();
    repair.reset();
    CHECK(thrown_by([&] { BakeLock::for_repair(scene.state_dir.path()); }).code() ==
          Errc::conflict);
    REQUIRE(bake.wait_for(kHang) == std::future_status::ready);
    CHECK(bake.get() != nullptr);
}

TEST_CASE("a long wait is reported once") {
    Scene scene;
    const auto first = scene.bake();
    int reports = 0;
    const Error error =
        thrown_by([&] { scene.bake(1300ms, [&](const std::string&) { ++reports; }); });
    CHECK(error.code() == Errc::timed_out);
    CHECK(reports == 1);
}

TEST_CASE("a stop request ends the wait") {
    Scene scene;
    const auto first = scene.bake();
    std::atomic<bool> is_cancelled = false;
    std::jthread second(
        [&] { is_cancelled = thrown_by([&] { scene.bake(); }).code() == Errc::cancelled; });
    scene.until_a_bake_waits();
    scene.stop.request_stop();
    second.join();
    CHECK(is_cancelled);
}

}  // namespace prebake::bake::bake_lock_test
