#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "proto/prebake/v1/node.pb.h"

namespace prebake::report {

/// Everything that the node reports at one moment.
struct NodeView {
    v1::NodeStatus status;  ///< with all images; printing limits them
    v1::Ledger ledger;      ///< ledger::Accounts::report()
};

/// Holds the latest view: the daemon's loop publishes it, all others read it. Thread-safe.
class StatusHolder {
  public:
    StatusHolder();

    void publish(NodeView view);
    /// Never null.
    std::shared_ptr<const NodeView> latest() const;
    /// `call` is called after each publish(), on its thread, and must return at once. Set it before
    /// the first publish().
    void on_publish(std::function<void()> call) { on_publish_ = std::move(call); }

  private:
    mutable std::mutex mutex_;
    std::shared_ptr<const NodeView> latest_;
    std::function<void()> on_publish_;
};

}  // namespace prebake::report
