#include "agent/daemon/status_evaluator.h"

#include <algorithm>
#include <utility>

#include "agent/base/timestamp.h"
#include "agent/report/status_document.h"

namespace prebake::daemon {

void StatusEvaluator::containerd_answered(const std::string& version) {
    containerd_version_ = version;
    if (!answered_at_) answered_at_ = from_.clock().steady;
}

void StatusEvaluator::publish(const report::NodeFacts& facts) {
    evaluate_conditions(facts);
    const report::Verdict verdict = report::verdict_of(conditions_, facts.is_reconciled);
    record_ready(facts, verdict);
    log_verdict(verdict);
    put_into_holder(facts, verdict);
}

void StatusEvaluator::publish_progress(const report::NodeFacts& facts,
                                       const guard::RepairProgress& progress) {
    const std::string number =
        std::to_string(progress.done + 1) + " of " + std::to_string(progress.total) + " images";
    const report::Verdict verdict{
        .word = facts.is_reconciled ? "not_ready" : "starting",
        .message = progress.is_unpacking ? "unpacking " + number + " into " + progress.snapshotter
                                         : "repairing " + number};
    if (progress.done == 0) from_.log.note(guard::Severity::info, verdict.message);
    // A short repair does not make a node that is in service not ready.
    if (facts.is_reconciled && !progress.is_unpacking) return;
    evaluate_conditions(facts);
    put_into_holder(facts, verdict);
}

void StatusEvaluator::evaluate_conditions(const report::NodeFacts& facts) {
    conditions_ = report::evaluate(facts, conditions_, from_.gates, from_.clock().wall);
}

void StatusEvaluator::put_into_holder(const report::NodeFacts& facts,
                                      const report::Verdict& verdict) const {
    report::NodeView view;
    view.ledger = from_.accounts.report();
    view.status = report::status_document({.node = facts,
                                           .conditions = conditions_,
                                           .verdict = verdict,
                                           .images = from_.images,
                                           .ledger = view.ledger,
                                           .log = from_.log,
                                           .times = times_,
                                           .starts =
                                               [&](const guard::ImageHealth& image) {
                                                   return from_.accounts.usage(image.key()).starts;
                                               },
                                           .containerd_version = containerd_version_,
                                           .boot_id = from_.boot_id,
                                           .prebake_version = from_.prebake_version,
                                           .now = from_.clock().wall});
    from_.holder.publish(std::move(view));
}

void StatusEvaluator::record_ready(const report::NodeFacts& facts, const report::Verdict& verdict) {
    if (!verdict.is_ready || times_.has_ready_at()) return;
    const Moment now = from_.clock();
    *times_.mutable_ready_at() = to_timestamp(now.wall);
    times_.set_kernel_to_ready_seconds(std::chrono::duration<double>(now.uptime).count());
    if (answered_at_) {
        const std::chrono::duration<double> since_answer = now.steady - *answered_at_;
        times_.set_containerd_to_ready_seconds(since_answer.count());
    }
    const v1::Claim& claim = facts.identity.claim;
    if (claim.state() != v1::Claim::CLAIMED || !claim.has_claimed_at()) return;
    const std::chrono::duration<double> since_claim = now.wall - to_time(claim.claimed_at());
    // A claim of an earlier boot did not delay this one.
    if (since_claim > now.uptime) return;
    times_.set_claim_to_ready_seconds(std::max(since_claim.count(), 0.0));
}

void StatusEvaluator::log_verdict(const report::Verdict& verdict) {
    std::string text = verdict.word + ": " + verdict.message;
    if (text == last_verdict_) return;
    last_verdict_ = std::move(text);
    from_.log.note(verdict.word == "not_ready" ? guard::Severity::warning : guard::Severity::info,
                   last_verdict_);
}

}  // namespace prebake::daemon
