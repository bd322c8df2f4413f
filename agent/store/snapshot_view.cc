#include "agent/store/snapshot_view.h"

#include <atomic>
#include <chrono>

#include "agent/base/error.h"
#include "agent/base/timestamp.h"
#include "agent/containerd/leases.h"

namespace prebake::store {
namespace {

/// Reading the largest image takes minutes.
constexpr std::chrono::hours kViewLifetime{2};

std::string unique_key() {
    static std::atomic<unsigned> counter{0};
    return timestamped("prebake-verify-") + "-" + std::to_string(counter++);
}

}  // namespace

SnapshotView::SnapshotView(const containerd::Connection& connection, const std::string& ns,
                           const std::string& snapshotter, const std::string& snapshot)
    : connection_(connection),
      ns_(ns),
      key_(unique_key()),
      snapshots_(connection, {.ns = ns, .lease = key_}, snapshotter) {
    containerd::Leases(connection, ns).create(key_, kViewLifetime, {});
    try {
        mounts_ = snapshots_.view(key_, snapshot);
    } catch (const Error&) {
        remove();
        throw;
    }
}

SnapshotView::~SnapshotView() {
    remove();
}

void SnapshotView::remove() const {
    try {
        snapshots_.remove(key_);
        containerd::Leases(connection_, ns_).remove(key_);
    } catch (const Error&) {
        return;  // the lease expires
    }
}

}  // namespace prebake::store
