#pragma once

#include <functional>
#include <stop_token>

#include "agent/bake/event.h"
#include "agent/containerd/connection.h"
#include "agent/daemon/durable_ledger.h"
#include "agent/daemon/engine_keeper.h"
#include "agent/daemon/event_queue.h"
#include "agent/daemon/ledger_feed.h"
#include "agent/daemon/node_options.h"
#include "agent/daemon/status_evaluator.h"
#include "agent/guard/baked_lease.h"
#include "agent/guard/disk_usage.h"
#include "agent/guard/image_guard.h"
#include "agent/guard/image_names.h"
#include "agent/guard/image_repairer.h"
#include "agent/report/status_holder.h"

namespace prebake::daemon {

/// What the NodeLoop works with as long as it runs.
struct NodeWork {
    /// What it has besides.
    struct Parts {
        report::StatusHolder& holder;
        guard::ActivityLog& log;
        EventQueue& queue;
        bake::EventSink& events;  ///< of repairs
    };
    /// `on_progress` is called before each image that is repaired. `options` and what `parts` refer
    /// to must live longer. @throws Error as DurableLedger.
    NodeWork(const NodeLoopOptions& options, const Parts& parts,
             std::function<void(const guard::RepairProgress&)> on_progress,
             const std::stop_token& stop);

    containerd::Connection connection;
    guard::ContainerdImageNames names;
    guard::ContainerdDiskUsage disk;
    guard::ContainerdImageRepairer repairer;
    DurableLedger ledger;
    LedgerFeed feed;
    guard::ImageGuard guard;
    guard::BakedLease lease;
    EngineKeeper engine;
    StatusEvaluator evaluator;
};

}  // namespace prebake::daemon
