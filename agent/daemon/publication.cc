#include "agent/daemon/publication.h"

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/report/last_status.h"
#include "agent/report/ssm_inventory.h"
#include "agent/report/status_format.h"

namespace prebake::daemon {
namespace {

/// For changes of counts only. The SSM agent collects every 30 minutes or less often.
constexpr std::chrono::minutes kInventoryInterval{5};

}  // namespace

std::string essence_of(const v1::NodeStatus& status) {
    std::string essence = status.verdict() + "\n" + status.message() + "\n" + status.claim() +
                          status.instance().id() + "\n";
    for (const v1::Condition& condition : status.conditions()) {
        essence +=
            condition.type() + condition.status() + condition.reason() + condition.message() + "\n";
    }
    return essence;
}

void Publication::warn_once(std::string& last, const std::string& problem) {
    if (!problem.empty() && problem != last) warn_(problem);
    last = problem;
}

void Publication::update(const std::shared_ptr<const report::NodeView>& view,
                         Clock::time_point now) {
    const bool is_other_view = last_.lock() != view;
    const bool is_due = inventory_due_ && *inventory_due_ <= now;
    if (!is_other_view && !is_due) return;
    last_ = view;
    const std::string line = report::status_brief(view->status);
    if (line != status_line_) notifier_.status(line);
    status_line_ = line;

    std::string essence = essence_of(view->status);
    const bool is_news = essence != essence_;
    essence_ = std::move(essence);
    if (is_news) write_last_status(view->status);
    if (!options_.ssm_inventory) return;
    if (is_news || is_due) {
        write_inventory(*view, now);
    } else if (!inventory_due_ && inventory_written_) {
        inventory_due_ = *inventory_written_ + kInventoryInterval;
    }
}

void Publication::write_last_status(const v1::NodeStatus& status) {
    if (options_.socket.empty()) return;
    try {
        write_file_durably(report::last_status_path(options_.socket),
                           to_json(status, JsonForm::indented) + "\n", 0644);
        warn_once(status_problem_, "");
    } catch (const Error& error) {
        warn_once(status_problem_, error.what());
    }
}

void Publication::write_inventory(const report::NodeView& view, Clock::time_point now) {
    inventory_due_.reset();
    inventory_written_ = now;
    try {
        warn_once(inventory_problem_, report::write_inventory("/", view.status.instance().id(),
                                                              report::inventory_of(view)));
    } catch (const Error& error) {
        warn_once(inventory_problem_, error.what());
    }
}

}  // namespace prebake::daemon
