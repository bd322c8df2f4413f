#include "agent/ledger/pending_starts.h"

#include <utility>

namespace prebake::ledger {

void PendingStarts::add(const std::string& ns, const std::string& key, PendingStart start) {
    starts_.put({ns, key}, std::move(start));
}

void PendingStarts::set_container(const std::string& ns, const std::string& key,
                                  const std::string& image, std::optional<Time> created_at) {
    PendingStart* const start = starts_.find({ns, key});
    if (start == nullptr) return;
    start->image = image;
    start->created_at = created_at;
}

const PendingStart* PendingStarts::find(const std::string& ns, const std::string& key) const {
    return starts_.find({ns, key});
}

bool PendingStarts::rename(const std::string& ns, const std::string& key, const std::string& name) {
    return starts_.rename({ns, key}, {ns, name});
}

void PendingStarts::remove(const std::string& ns, const std::string& key) {
    starts_.remove({ns, key});
}

void PendingStarts::clear(const std::string& ns) {
    starts_.remove_if([&](const SnapshotKey& start) { return start.first == ns; });
}

}  // namespace prebake::ledger
