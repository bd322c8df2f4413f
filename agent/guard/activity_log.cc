#include "agent/guard/activity_log.h"

#include <utility>

namespace prebake::guard {

void ActivityLog::warn(const std::string& subject, const std::string& text) {
    std::string& standing = warnings_[subject];
    if (standing == text) return;
    standing = text;
    note(Severity::warning, text);
}

void ActivityLog::warn_of_retry(const std::string& subject, const std::string& text) {
    if (++failures_[subject] > kQuietFailures) return warn(subject, text);
    note(Severity::info, text);
}

void ActivityLog::clear(const std::string& subject) {
    warnings_.erase(subject);
    failures_.erase(subject);
}

std::vector<std::string> ActivityLog::warnings() const {
    std::vector<std::string> texts;
    for (const auto& [subject, text] : warnings_) texts.push_back(text);
    return texts;
}

void ActivityLog::add(v1::Repair repair) {
    const std::string where = repair.image() + " in " + repair.namespace_();
    const std::string why = repair.why().empty() ? "" : " (" + repair.why() + ")";
    if (repair.has_problem()) {
        const std::string& next_step = repair.problem().next_step();
        const std::string done = repair.what().empty() ? "" : ", after: " + repair.what();
        note(Severity::warning, where + why + " could not be repaired" + done + ": " +
                                    repair.problem().message() +
                                    (next_step.empty() ? "" : "; " + next_step));
    } else {
        note(Severity::info, where + why + ": " + repair.what());
    }
    repairs_.push_front(std::move(repair));
    if (repairs_.size() > kMaxRepairs) repairs_.pop_back();
    ++repairs_total_;
}

void ActivityLog::forget_failures(const std::string& image, const std::string& ns) {
    std::erase_if(repairs_, [&](const v1::Repair& repair) {
        return repair.has_problem() && repair.image() == image && repair.namespace_() == ns;
    });
}

}  // namespace prebake::guard
