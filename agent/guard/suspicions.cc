#include "agent/guard/suspicions.h"

#include <algorithm>

namespace prebake::guard {

bool RepairAllowance::take(const ImageKey& key, SteadyTime now) {
    std::deque<SteadyTime>& taken = taken_[key];
    while (!taken.empty() && now - taken.front() >= kWithin) taken.pop_front();
    if (taken.size() >= kMost) return false;
    taken.push_back(now);
    return true;
}

void Suspicions::add(const ImageKey& key, const std::string& why, SteadyTime now) {
    if (now_.empty()) first_ = now;
    last_ = now;
    now_.emplace(key, why);
}

bool Suspicions::add_later(const ImageKey& key, const std::string& why, SteadyTime when) {
    const auto [entry, is_new] = later_.emplace(key, Later{.why = why, .when = when});
    if (!is_new) entry->second.when = std::min(entry->second.when, when);
    return is_new;
}

std::optional<SteadyTime> Suspicions::due() const {
    std::optional<SteadyTime> due;
    if (!now_.empty()) due = std::min(last_ + kCalm, first_ + kMostDelay);
    for (const auto& [key, later] : later_) due = due ? std::min(*due, later.when) : later.when;
    return due;
}

std::map<ImageKey, std::string> Suspicions::take(SteadyTime now) {
    std::map<ImageKey, std::string> taken;
    if (!now_.empty() && std::min(last_ + kCalm, first_ + kMostDelay) <= now) {
        taken.swap(now_);
        for (const auto& [key, why] : taken) later_.erase(key);
    }
    for (auto entry = later_.begin(); entry != later_.end();) {
        if (entry->second.when > now) {
            ++entry;
            continue;
        }
        taken.emplace(entry->first, entry->second.why);
        entry = later_.erase(entry);
    }
    return taken;
}

void Suspicions::clear() {
    now_.clear();
    later_.clear();
}

}  // namespace prebake::guard
