#include "agent/bake/active_snapshot.h"

#include <atomic>
#include <chrono>
#include <utility>

#include "agent/base/error.h"

namespace prebake::bake {
namespace {

constexpr std::string_view kKeyBegin = "extract-";
constexpr std::string_view kKeyMiddle = "-prebake";

/// Clients and the ledger recognise unpacking by the prefix "extract-"; the rest only has to be
/// unique.
std::string active_key(const oci::Digest& chain_id) {
    static std::atomic<unsigned> counter{0};
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::string(kKeyBegin) + std::to_string(std::chrono::nanoseconds(now).count()) +
           std::string(kKeyMiddle) + std::to_string(counter++) + " " + chain_id.str();
}

}  // namespace

std::unique_ptr<ActiveSnapshot> ActiveSnapshot::prepare(const containerd::Snapshots& snapshots,
                                                        const oci::Digest& chain_id,
                                                        const std::string& parent,
                                                        const containerd::Labels& labels) {
    std::string key = active_key(chain_id);
    auto mounts = snapshots.prepare(key, parent, labels);
    if (!mounts) return nullptr;
    return std::unique_ptr<ActiveSnapshot>(
        new ActiveSnapshot(snapshots, std::move(key), std::move(*mounts)));
}

bool ActiveSnapshot::is_key(std::string_view key) {
    return key.starts_with(kKeyBegin) && key.find(kKeyMiddle) != std::string_view::npos;
}

ActiveSnapshot::~ActiveSnapshot() {
    if (key_.empty()) return;
    try {
        snapshots_.remove(key_);
    } catch (const Error&) {
        return;
    }
}

void ActiveSnapshot::commit(const std::string& name, const containerd::Labels& labels) {
    // already_there: another client was faster. The active one is then ours to remove.
    if (snapshots_.commit(name, key_, labels) == containerd::CommitOutcome::committed) key_.clear();
}

}  // namespace prebake::bake
