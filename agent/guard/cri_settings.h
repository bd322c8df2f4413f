#pragma once

#include <functional>
#include <string>
#include <utility>

#include "agent/containerd/config_file.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/cri.h"
#include "agent/containerd/images.h"
#include "agent/guard/activity_log.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::guard {

/// What CRI really uses on this node.
struct CriSettings {
    containerd::CriService cri;
    std::string snapshotter;    ///< of k8s.io; never empty
    std::string sandbox_image;  ///< its name in containerd; empty: unknown
};

/// Finds out what CRI uses: it is known only on the node, and only while containerd runs.
class CriSettingsReader {
  public:
    /// `snapshotter` overrides what CRI reports; empty: no override. `configured` reads
    /// containerd's configuration file; it may be empty.
    CriSettingsReader(std::string snapshotter,
                      std::function<containerd::ConfiguredRuntime()> configured,
                      const containerd::Connection& connection, ActivityLog& log)
        : snapshotter_(std::move(snapshotter)),
          configured_(std::move(configured)),
          connection_(connection),
          log_(log) {}

    /// From CRI itself; what CRI does not report comes from containerd's configuration file, and
    /// last from containerd's default.
    /// @throws Error while CRI is starting; unavailable, cancelled.
    CriSettings read();

  private:
    void ask_cri(CriSettings& settings);

    std::string snapshotter_;
    std::function<containerd::ConfiguredRuntime()> configured_;
    const containerd::Connection& connection_;
    ActivityLog& log_;
    int failures_ = 0;
};

}  // namespace prebake::guard
