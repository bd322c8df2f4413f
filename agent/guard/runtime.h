#pragma once

#include <functional>
#include <string>
#include <utility>

#include "agent/containerd/config_file.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/images.h"
#include "agent/guard/journal.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::guard {

/// What CRI will really use on this node: known only here, and only now.
class Runtime {
  public:
    /// `snapshotter` overrides what CRI says; empty: it does not. `configured` reads containerd's
    /// configuration file; it may be empty.
    Runtime(std::string snapshotter, std::function<containerd::ConfiguredRuntime()> configured,
            const containerd::Connection& connection, Journal& journal)
        : snapshotter_(std::move(snapshotter)),
          configured_(std::move(configured)),
          connection_(connection),
          journal_(journal) {}

    struct Answer {
        bool has_cri = false;
        std::string snapshotter;    ///< of k8s.io; never empty
        std::string sandbox_image;  ///< its name in containerd; empty: nobody says
    };
    /// CRI's own word, else that of containerd's configuration file, else containerd's default.
    /// @throws Error while CRI is starting; unavailable, cancelled.
    Answer ask();

  private:
    void ask_cri(Answer& answer);

    std::string snapshotter_;
    std::function<containerd::ConfiguredRuntime()> configured_;
    const containerd::Connection& connection_;
    Journal& journal_;
    int failures_ = 0;
};

/// CRI's sandbox image as a record would have it, with the names that it has in containerd.
/// @throws Error as store::describe_stored().
v1::BakedImage describe_sandbox(const containerd::Connection& connection,
                                const containerd::Image& held, const std::string& snapshotter);

}  // namespace prebake::guard
