#include "agent/ledger/pending_starts.h"

namespace prebake::ledger {

void PendingStarts::add(const std::string& ns, const std::string& key, PendingStart start) {
    remove(ns, key);
    start.number = next_++;
    in_order_.emplace(start.number, Key(ns, key));
    starts_.emplace(Key(ns, key), std::move(start));
    if (starts_.size() <= kMaxPendingStarts) return;
    const Key oldest = in_order_.begin()->second;
    remove(oldest.first, oldest.second);
}

void PendingStarts::set_image(const std::string& ns, const std::string& key,
                              const std::string& image) {
    const auto start = starts_.find(Key(ns, key));
    if (start != starts_.end()) start->second.image = image;
}

const PendingStart* PendingStarts::find(const std::string& ns, const std::string& key) const {
    const auto start = starts_.find(Key(ns, key));
    return start == starts_.end() ? nullptr : &start->second;
}

bool PendingStarts::rename(const std::string& ns, const std::string& key, const std::string& name) {
    const auto start = starts_.find(Key(ns, key));
    if (start == starts_.end()) return false;
    PendingStart moved = std::move(start->second);
    remove(ns, key);
    add(ns, name, std::move(moved));
    return true;
}

void PendingStarts::remove(const std::string& ns, const std::string& key) {
    const auto start = starts_.find(Key(ns, key));
    if (start == starts_.end()) return;
    in_order_.erase(start->second.number);
    starts_.erase(start);
}

void PendingStarts::clear(const std::string& ns) {
    std::erase_if(starts_, [&](const auto& start) {
        if (start.first.first != ns) return false;
        in_order_.erase(start.second.number);
        return true;
    });
}

}  // namespace prebake::ledger
