#include "agent/daemon/engine_keeper.h"

#include <utility>

#include "agent/guard/docker_store.h"
#include "agent/store/placements.h"

namespace prebake::daemon {

EngineKeeper::EngineKeeper(Environment environment)
    : with_(std::move(environment)),
      guard_(with_.images, with_.log, with_.access.clock),
      ledger_(with_.accounts) {}

void EngineKeeper::set_record(const v1::BakeRecord& record) {
    record_ = store::only_for_docker(record);
    guard_.set_record(store::only_in_engine(record_));
    ledger_.set_baked(with_.images.shared_baked());
    has_changed_ = true;
    if (!guard::is_for_docker(record_)) {
        watch_.reset();
        answer_.reset();
        problem_.reset();
        return set_graph(false);
    }
    // Until dockerd says which store it uses, it is the one that was baked into.
    if (!answer_) set_graph(!guard_.record().images().empty());
    // Without access there is no dockerd to ask, only images that were baked for one.
    if (!watch_ && with_.access.connect) {
        watch_ = std::make_unique<EngineWatch>(with_.access, with_.queue, guard_.record());
    } else {
        look_again();
    }
}

void EngineKeeper::look_again() {
    guard_.start_over();
    if (watch_) watch_->look_at(guard_.record());
}

bool EngineKeeper::handle(const Wakeup& wakeup) {
    // News that a watch has left in the queue are about a record that is gone.
    if (const auto* news = std::get_if<EngineAnswered>(&wakeup)) {
        if (watch_) answered(*news);
    } else if (const auto* gone_news = std::get_if<EngineGone>(&wakeup)) {
        if (watch_) gone(*gone_news);
    } else if (const auto* seen_news = std::get_if<EngineSeen>(&wakeup)) {
        if (watch_ && is_graph_) seen(*seen_news);
    } else if (const auto* happened = std::get_if<EngineHappened>(&wakeup)) {
        if (watch_ && is_graph_) ledger_.happened(*happened);
    } else {
        return false;
    }
    return true;
}

void EngineKeeper::answered(const EngineAnswered& news) {
    has_changed_ = true;
    answer_ = news;
    problem_.reset();
    ledger_.forget();
    set_graph(!news.info.uses_containerd_store);
    // It was checked, and what was there is nowhere.
    if (!is_graph_ && !guard_.record().images().empty()) guard_.judge_absent();
    with_.log.note(guard::Severity::info, "dockerd answers: " + guard::describe_store(news.info));
}

void EngineKeeper::gone(const EngineGone& news) {
    const bool is_news = answer_ || !problem_ || problem_->message() != news.error.message();
    if (!is_news) return;
    has_changed_ = true;
    answer_.reset();
    problem_ = news.error;
    with_.log.note(guard::Severity::info, "dockerd does not answer: " + news.error.message());
}

void EngineKeeper::seen(const EngineSeen& news) {
    has_changed_ = true;
    ledger_.seen(news, answer_ ? answer_->info.driver : "");
    for (const EngineSeen::Tagged& done : news.tagged) guard_.tagged(done.tag, done.problem);
    std::vector<guard::LostTag> lost = guard_.judge(news.findings, news.at);
    if (!lost.empty()) watch_->tag(std::move(lost));
}

void EngineKeeper::set_graph(bool is_graph) {
    has_store_changed_ |= is_graph_ != is_graph;
    is_graph_ = is_graph;
}

report::DockerFacts EngineKeeper::facts() const {
    report::DockerFacts facts{.is_wanted = guard::is_for_docker(record_),
                              .is_answering = answer_.has_value(),
                              .is_checked = guard_.is_checked()};
    if (problem_) {
        facts.problem = problem_->message();
        facts.next_step = problem_->next_step();
    }
    if (answer_) {
        facts.store = guard::describe_store(answer_->info);
        facts.mismatch =
            guard::compare_store(record_, answer_->info, answer_->file, with_.containerd);
        if (!facts.mismatch) {
            facts.mismatch = guard::explain_absence(guard_.images(), answer_->info, answer_->file);
        }
    }
    return facts;
}

}  // namespace prebake::daemon
