#include "agent/ledger/counted_starts.h"

namespace prebake::ledger {

void CountedStarts::load(const google::protobuf::RepeatedPtrField<v1::CountedStart>& starts) {
    clear();
    for (const v1::CountedStart& start : starts) add(start.namespace_(), start.key());
}

void CountedStarts::store(google::protobuf::RepeatedPtrField<v1::CountedStart>& starts) const {
    starts_.for_each_key([&](const SnapshotKey& start) {
        v1::CountedStart& entry = *starts.Add();
        entry.set_namespace_(start.first);
        entry.set_key(start.second);
    });
}

void CountedStarts::clear() {
    starts_.clear();
}

void CountedStarts::add(const std::string& ns, const std::string& key) {
    if (!contains(ns, key)) starts_.put({ns, key}, {});
}

bool CountedStarts::contains(const std::string& ns, const std::string& key) const {
    return starts_.find({ns, key}) != nullptr;
}

bool CountedStarts::remove(const std::string& ns, const std::string& key) {
    return starts_.remove({ns, key});
}

bool CountedStarts::rename(const std::string& ns, const std::string& key, const std::string& name) {
    return starts_.rename({ns, key}, {ns, name});
}

bool CountedStarts::retain(const std::string& ns,
                           const std::function<bool(const std::string& key)>& exists) {
    return starts_.remove_if(
        [&](const SnapshotKey& start) { return start.first == ns && !exists(start.second); });
}

std::vector<std::string> CountedStarts::keys_ending(const std::string& ns,
                                                    std::string_view ending) const {
    std::vector<std::string> keys;
    starts_.for_each_key([&](const SnapshotKey& start) {
        if (start.first == ns && start.second.ends_with(ending)) keys.push_back(start.second);
    });
    return keys;
}

}  // namespace prebake::ledger
