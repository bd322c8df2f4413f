// What the loop keeps up beside the images: the lease, pins, and what it knows of CRI and systemd.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <string>

#include "agent/base/file.h"
#include "agent/base/timestamp.h"
#include "agent/containerd/images.h"
#include "agent/containerd/leases.h"
#include "agent/guard/baked_lease.h"
#include "agent/hydrate/documents.h"
#include "agent/report/last_status.h"
#include "tests/unit/daemon/node_scene.h"

namespace prebake::daemon::node_loop_test {

TEST_CASE("hydration is followed, also while containerd is away, and its end is noticed") {
    Scene at;
    at.bake();
    at.containerd.stop();
    write_file_durably(hydrate::plan_path(at.state_dir.path()), "{}", 0644);
    std::filesystem::last_write_time(hydrate::plan_path(at.state_dir.path()),
                                     std::filesystem::file_time_type::clock::now() - 24h * 365);
    at.start();
    at.until([](const NodeView& view) { return condition(view, "Hydrated").reason() == "NotRun"; });
    v1::Hydration progress;
    progress.set_state("hydrating");
    progress.set_boot_id(report::kernel_boot_id());
    *progress.mutable_updated_at() = to_timestamp(at.clock.source()().wall);
    progress.add_ranks()->set_total_bytes(100);
    hydrate::write_hydration(hydrate::progress_path(at.runtime_dir.path()), progress);
    at.loop->hydration_changed();
    const View hydrating = at.until(
        [](const NodeView& view) { return condition(view, "Hydrated").reason() == "Hydrating"; });
    CHECK(hydrating->status.hydration().total_bytes() == 100);
    CHECK(hydrating->status.hydration().state() == "hydrating");

    // Nobody writes any more, and no file changes.
    at.advance(40s);
    const View stopped = at.until([](const NodeView& view) {
        return condition(view, "Hydrated").reason() == "HydrationStopped";
    });
    CHECK(stopped->status.hydration().state() == "stopped");
    at.containerd.start();
    CHECK(at.until_ready()->status.verdict() == "degraded");
}

TEST_CASE("a lease keeps what was baked") {
    Scene at;
    at.bake();
    at.start();
    at.until_ready();
    REQUIRE(at.containerd.wait_for_calls("Leases.AddResource", 1));
    at.stop();
    const v1::BakeRecord record = store::read_record(at.state_dir.path());
    const std::set<std::string> target{record.images(0).target().digest()};
    CHECK_MESSAGE(at.containerd.leased(kCri, guard::BakedLease::kId) == target,
                  "also after the daemon has stopped");
}

TEST_CASE(
    "a lease that a client removed comes back with a reload, also while containerd goes away") {
    Scene at;
    at.bake();
    at.on_note = [&](const std::string& text) {
        if (text.starts_with("containerd went away")) at.loop->reload(true);
    };
    at.start();
    at.until_ready();
    REQUIRE(at.containerd.wait_for_calls("Leases.AddResource", 1));
    const containerd::Connection client(at.containerd.socket(), {});
    containerd::Leases(client, kCri).remove(guard::BakedLease::kId);
    const std::size_t looked = at.containerd.calls("Leases.List");
    at.advance(60s);
    REQUIRE(at.containerd.wait_for_calls("Leases.List", looked + 1));
    CHECK_MESSAGE(at.containerd.calls("Leases.Create") == 1, "not without a reload");
    at.containerd.stop();
    at.until([](const NodeView& view) { return !is_serving(view); });
    at.containerd.start();
    CHECK(at.containerd.wait_for_calls("Leases.Create", 2));
}

TEST_CASE("pins that cannot be changed do not keep the content from being held") {
    Scene at({.max_pinned_bytes = 1});
    at.bake();
    at.containerd.intercept([](ServerContext&, const std::string& method) {
        return method == "Images.Update" ? Status(StatusCode::INTERNAL, "disk") : Status::OK;
    });
    at.start();
    REQUIRE(at.containerd.wait_for_calls("Images.Update", 1));
    CHECK(at.containerd.wait_for_calls("Leases.AddResource", 1));
}

TEST_CASE("CRI that answers with errors is a problem of CRI, until it answers without") {
    Scene at;
    at.bake();
    at.containerd.intercept([](ServerContext&, const std::string& method) {
        return method == "Cri.Version" ? Status(StatusCode::UNKNOWN, "not now") : Status::OK;
    });
    at.start();
    const View without = at.until_ready();
    CHECK(without->status.verdict() == "degraded");
    CHECK(condition(*without, "CriResolves").status() == "False");
    CHECK(condition(*without, "CriResolves").reason() == "CriFailed");
    CHECK(contains(condition(*without, "CriResolves").message(), "not now"));
    CHECK(condition(*without, "ImagesPresent").reason() == "AllPresent");
    at.containerd.intercept({});
    at.advance(480s);
    const View with = at.until(
        [](const NodeView& view) { return condition(view, "CriResolves").status() == "True"; });
    CHECK(with->status.verdict() == "ready");
}

TEST_CASE("CRI that begins to fail is not taken at its last word") {
    Scene at;
    at.bake();
    at.start_and_follow();
    at.containerd.intercept([](ServerContext&, const std::string& method) {
        return method == "Cri.Version" ? Status(StatusCode::UNKNOWN, "not now") : Status::OK;
    });
    const containerd::Connection client(at.containerd.socket(), {});
    containerd::Images(client, {.ns = kCri, .lease = {}}).remove(kName);
    const View failed = at.until(
        [](const NodeView& view) { return condition(view, "CriResolves").status() == "False"; });
    CHECK(condition(*failed, "CriResolves").reason() == "NotResolved");
}

TEST_CASE("the order of units is checked again when the operator reloads") {
    Scene at;
    at.containerd.stop();
    at.order_problem = "k3s.service waits for prebake-ready.target";
    at.start();
    const auto reason_is = [](const char* reason) {
        return [reason](const NodeView& view) {
            return condition(view, "ContainerdServing").reason() == reason;
        };
    };
    at.until(reason_is("WaitsForUs"));
    at.order_problem = "";
    at.loop->reload(true);
    at.until(reason_is("NotAnswering"));
}

TEST_CASE("without CRI nothing says that pods find the images") {
    Scene at;
    at.containerd.server().runtime.version = {};
    at.bake();
    at.start();
    const View ready = at.until_ready();
    CHECK(ready->status.verdict() == "degraded");
    CHECK(condition(*ready, "CriResolves").status() == "Unknown");
    CHECK(condition(*ready, "CriResolves").reason() == "CriDisabled");
}

}  // namespace prebake::daemon::node_loop_test
