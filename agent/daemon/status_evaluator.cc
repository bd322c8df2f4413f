#include "agent/daemon/status_evaluator.h"

#include <algorithm>
#include <utility>

#include "agent/base/boot.h"
#include "agent/base/timestamp.h"
#include "agent/report/status_document.h"

namespace prebake::daemon {
namespace {

using SteadyClock = std::chrono::steady_clock;
using WallClock = std::chrono::system_clock;

}  // namespace

void StatusEvaluator::containerd_answered(const std::string& version) {
    containerd_version_ = version;
    if (!answered_at_) answered_at_ = SteadyClock::now();
}

void StatusEvaluator::publish() {
    evaluate_conditions();
    const report::Verdict verdict = report::verdict_of(conditions_, from_.facts.is_reconciled);
    note_ready(verdict);
    note_verdict(verdict);
    put_into_holder(verdict);
}

void StatusEvaluator::publish_progress(const guard::RepairProgress& progress) {
    const std::string number =
        std::to_string(progress.done + 1) + " of " + std::to_string(progress.total) + " images";
    const report::Verdict verdict{
        .word = from_.facts.is_reconciled ? "not_ready" : "starting",
        .message = progress.is_unpacking ? "unpacking " + number + " into " + progress.snapshotter
                                         : "repairing " + number};
    if (progress.done == 0) from_.log.note(guard::Severity::info, verdict.message);
    // What takes a moment on a node that is in service is no reason to call it not ready.
    if (from_.facts.is_reconciled && !progress.is_unpacking) return;
    evaluate_conditions();
    put_into_holder(verdict);
}

void StatusEvaluator::evaluate_conditions() {
    conditions_ = report::evaluate(from_.facts, conditions_, from_.gates, WallClock::now());
}

void StatusEvaluator::put_into_holder(const report::Verdict& verdict) const {
    report::NodeView view;
    view.ledger = from_.accounts.report();
    view.status = report::status_document(
        {.node = from_.facts,
         .conditions = conditions_,
         .verdict = verdict,
         .images = from_.images,
         .ledger = view.ledger,
         .log = from_.log,
         .times = times_,
         .starts =
             [&](const guard::ImageHealth& image) {
                 return from_.accounts.usage({.image = image.name, .ns = image.ns}).starts;
             },
         .containerd_version = containerd_version_,
         .boot_id = from_.boot_id,
         .prebake_version = from_.prebake_version,
         .now = WallClock::now()});
    from_.holder.publish(std::move(view));
}

void StatusEvaluator::note_ready(const report::Verdict& verdict) {
    if (!verdict.is_ready || times_.has_ready_at()) return;
    const auto now = WallClock::now();
    *times_.mutable_ready_at() = to_timestamp(now);
    times_.set_kernel_to_ready_seconds(std::chrono::duration<double>(uptime()).count());
    if (answered_at_) {
        const std::chrono::duration<double> since_answer = SteadyClock::now() - *answered_at_;
        times_.set_containerd_to_ready_seconds(since_answer.count());
    }
    const v1::Claim& claim = from_.facts.identity.claim;
    if (claim.state() != v1::Claim::CLAIMED || !claim.has_claimed_at()) return;
    const std::chrono::duration<double> since_claim = now - to_time(claim.claimed_at());
    // The claim is from an earlier boot, so the time is not about this one.
    if (since_claim > uptime()) return;
    times_.set_claim_to_ready_seconds(std::max(since_claim.count(), 0.0));
}

void StatusEvaluator::note_verdict(const report::Verdict& verdict) {
    std::string text = verdict.word + ": " + verdict.message;
    if (text == last_verdict_) return;
    last_verdict_ = std::move(text);
    from_.log.note(verdict.word == "not_ready" ? guard::Severity::warning : guard::Severity::info,
                   last_verdict_);
}

}  // namespace prebake::daemon
