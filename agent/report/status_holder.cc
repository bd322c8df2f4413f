#include "agent/report/status_holder.h"

namespace prebake::report {
namespace {

NodeView initial_view() {
    NodeView view;
    view.status.set_schema("prebake.v1.NodeStatus");
    view.status.set_verdict("starting");
    view.status.set_message("the daemon has just started");
    view.status.set_source("daemon");
    view.ledger.set_schema("prebake.v1.Ledger");
    return view;
}

}  // namespace

StatusHolder::StatusHolder() : latest_(std::make_shared<const NodeView>(initial_view())) {}

void StatusHolder::publish(NodeView view) {
    auto next = std::make_shared<const NodeView>(std::move(view));
    {
        const std::scoped_lock lock(mutex_);
        latest_.swap(next);
    }
    if (on_publish_) on_publish_();
}

std::shared_ptr<const NodeView> StatusHolder::latest() const {
    const std::scoped_lock lock(mutex_);
    return latest_;
}

}  // namespace prebake::report
