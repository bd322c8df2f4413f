#include "agent/ledger/counted_starts.h"

namespace prebake::ledger {

void CountedStarts::load(const google::protobuf::RepeatedPtrField<v1::CountedStart>& starts) {
    clear();
    for (const v1::CountedStart& start : starts) add(start.namespace_(), start.key());
}

void CountedStarts::store(google::protobuf::RepeatedPtrField<v1::CountedStart>& starts) const {
    for (const auto& [number, start] : in_order_) {
        v1::CountedStart& entry = *starts.Add();
        entry.set_namespace_(start->first);
        entry.set_key(start->second);
    }
}

void CountedStarts::clear() {
    in_order_.clear();
    numbers_.clear();
}

void CountedStarts::add(const std::string& ns, const std::string& key) {
    const auto [place, is_new] = numbers_.emplace(Start(ns, key), next_);
    if (!is_new) return;
    in_order_.emplace(next_++, &place->first);
    if (in_order_.size() <= kMaxCountedStarts) return;
    const auto oldest = in_order_.begin();
    const Start dropped = *oldest->second;
    in_order_.erase(oldest);
    numbers_.erase(dropped);
}

bool CountedStarts::contains(const std::string& ns, const std::string& key) const {
    return numbers_.contains(Start(ns, key));
}

bool CountedStarts::remove(const std::string& ns, const std::string& key) {
    const auto place = numbers_.find(Start(ns, key));
    if (place == numbers_.end()) return false;
    in_order_.erase(place->second);
    numbers_.erase(place);
    return true;
}

bool CountedStarts::rename(const std::string& ns, const std::string& key, const std::string& name) {
    if (!remove(ns, key)) return false;
    add(ns, name);
    return true;
}

bool CountedStarts::retain(const std::string& ns,
                           const std::function<bool(const std::string& key)>& exists) {
    bool has_dropped = false;
    for (auto place = numbers_.begin(); place != numbers_.end();) {
        if (place->first.first == ns && !exists(place->first.second)) {
            in_order_.erase(place->second);
            place = numbers_.erase(place);
            has_dropped = true;
        } else {
            ++place;
        }
    }
    return has_dropped;
}

std::vector<std::string> CountedStarts::keys_ending(const std::string& ns,
                                                    std::string_view ending) const {
    std::vector<std::string> keys;
    for (const auto& [number, start] : in_order_) {
        if (start->first == ns && start->second.ends_with(ending)) keys.push_back(start->second);
    }
    return keys;
}

}  // namespace prebake::ledger
