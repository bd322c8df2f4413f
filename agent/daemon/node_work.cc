#include "agent/daemon/node_work.h"

#include <utility>

#include "agent/daemon/engine_access.h"

namespace prebake::daemon {

NodeWork::NodeWork(const NodeLoopOptions& options, const Parts& parts,
                   std::function<void(const guard::RepairProgress&)> on_progress,
                   const std::stop_token& stop)
    : connection(options.address, stop),
      names(connection),
      disk(connection),
      repairer(options.state_dir, connection, parts.events),
      ledger(options.state_dir, parts.log, options.clock),
      feed(ledger.accounts(), connection, parts.log, options.clock),
      guard({.pin_limits = options.pin_limits,
             .snapshotter = options.snapshotter,
             .keeps_deleted = options.keeps_deleted,
             .wants_sandbox = options.wants_sandbox,
             .configured_runtime = options.configured_runtime},
            {.connection = connection,
             .names = names,
             .repairer = repairer,
             .disk = disk,
             .log = parts.log,
             .clock = options.clock,
             .on_progress = std::move(on_progress)}),
      lease(connection, parts.log),
      engine({.access = engine_access(options),
              .queue = parts.queue,
              .accounts = ledger.accounts(),
              .images = guard.images(),
              .log = parts.log,
              .containerd = options.address}),
      evaluator({.holder = parts.holder,
                 .log = parts.log,
                 .accounts = ledger.accounts(),
                 .images = guard.images(),
                 .clock = options.clock,
                 .gates = options.gates,
                 .boot_id = ledger.boot_id(),
                 .prebake_version = options.prebake_version},
                ledger.times()) {}

}  // namespace prebake::daemon
