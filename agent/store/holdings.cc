#include "agent/store/holdings.h"

#include <utility>

#include "agent/base/error.h"

namespace prebake::store {
namespace {

std::vector<containerd::SnapshotInfo> snapshots_of(const containerd::Connection& connection,
                                                   const containerd::Scope& scope,
                                                   const std::string& snapshotter) {
    if (snapshotter.empty()) return {};
    try {
        return containerd::Snapshots(connection, scope, snapshotter).list();
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) throw;
        return {};
    }
}

}  // namespace

Holdings read_holdings(const containerd::Connection& connection, const std::string& ns,
                       const std::string& snapshotter) {
    const containerd::Scope scope{.ns = ns, .lease = {}};
    Holdings holdings{
        .ns = ns, .snapshotter = snapshotter, .images = {}, .blobs = {}, .snapshots = {}};
    for (containerd::Image& image : containerd::Images(connection, scope).list()) {
        holdings.images.emplace(image.name, std::move(image));
    }
    for (containerd::BlobInfo& blob : containerd::Content(connection, scope).list()) {
        holdings.blobs.emplace(blob.digest.str(), std::move(blob));
    }
    for (containerd::SnapshotInfo& snapshot : snapshots_of(connection, scope, snapshotter)) {
        holdings.snapshots.emplace(snapshot.name, std::move(snapshot));
    }
    return holdings;
}

}  // namespace prebake::store
