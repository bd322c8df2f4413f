#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/daemon/engine_ledger.h"
#include "agent/daemon/engine_news.h"
#include "agent/daemon/engine_watch.h"
#include "agent/daemon/event_queue.h"
#include "agent/guard/activity_log.h"
#include "agent/guard/engine_guard.h"
#include "agent/guard/image_health.h"
#include "agent/guard/protected_images.h"
#include "agent/ledger/accounts.h"
#include "agent/report/conditions.h"

namespace prebake::daemon {

/// The loop's side of dockerd: hands what an EngineWatch reports to the guard and to the ledger.
/// dockerd is never asked while no image of the record is for it. Not thread-safe.
class EngineKeeper {
  public:
    struct Environment {
        EngineAccess access;
        EventQueue& queue;
        ledger::Accounts& accounts;
        guard::ProtectedImages& images;
        guard::ActivityLog& log;
        std::string containerd;  ///< its socket
    };
    explicit EngineKeeper(Environment environment);

    void set_record(const v1::BakeRecord& record);
    /// Everything is read again: events may have been lost, or the user asked for it.
    void look_again();

    /// False if the wakeup is not about dockerd.
    bool handle(const Wakeup& wakeup);
    /// True once after each change that has to be published.
    bool take_changed() { return std::exchange(has_changed_, false); }
    /// True once if dockerd has left its graph driver, or come to one: what runs in namespace moby
    /// has to be listed.
    bool take_store_changed() { return std::exchange(has_store_changed_, false); }

    /// Whether dockerd's containers are counted here, and not by containerd's events.
    bool counts_containers() const { return is_graph_; }
    /// Of the images in a graph driver.
    const std::vector<guard::ImageHealth>& images() const { return guard_.images(); }
    report::DockerFacts facts() const;

  private:
    void answered(const EngineAnswered& news);
    void gone(const EngineGone& news);
    void seen(const EngineSeen& news);
    void set_graph(bool is_graph);

    Environment with_;
    guard::EngineGuard guard_;
    EngineLedger ledger_;
    v1::BakeRecord record_;
    std::unique_ptr<EngineWatch> watch_;  ///< null: no image is for dockerd
    std::optional<EngineAnswered> answer_;
    std::optional<Error> problem_;
    bool is_graph_ = false;
    bool has_changed_ = false;
    bool has_store_changed_ = false;
};

}  // namespace prebake::daemon
