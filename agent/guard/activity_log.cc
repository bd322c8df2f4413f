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

store::ImageKey key_of(const v1::Repair& repair) {
    return {.image = repair.image(), .ns = repair.namespace_(), .platform = repair.platform()};
}

void ActivityLog::forget_failures(const store::ImageKey& image) {
    std::erase_if(repairs_, [&](const v1::Repair& repair) {
        return repair.has_problem() && key_of(repair) == image;
    });
}

}  // namespace prebake::guard
