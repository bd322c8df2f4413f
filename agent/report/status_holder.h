#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "proto/prebake/v1/node.pb.h"

namespace prebake::report {

/// Everything that the node has to say at one moment.
struct NodeView {
    v1::NodeStatus status;  ///< with all images; who prints it bounds it
    v1::Ledger ledger;      ///< ledger::Accounts::report()
};

/// Where the keeper leaves the latest view, and everybody else finds it. Thread-safe.
class StatusHolder {
  public:
    StatusHolder();

    void publish(NodeView view);
    /// Never null.
    std::shared_ptr<const NodeView> latest() const;
    /// Called after each publish(), on the evaluator's thread; must return at once. Set before the
    /// first publish().
    void on_publish(std::function<void()> call) { on_publish_ = std::move(call); }

  private:
    mutable std::mutex mutex_;
    std::shared_ptr<const NodeView> latest_;
    std::function<void()> on_publish_;
};

}  // namespace prebake::report
