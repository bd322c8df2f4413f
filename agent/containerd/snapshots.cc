#include "agent/containerd/snapshots.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/call.h"
#include "agent/containerd/introspection.h"
#include "agent/containerd/leases.h"
#include "agent/containerd/read_stream.h"
#include "agent/containerd/wire.h"
#include "proto/containerd/snapshots.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace snapshots_api = ::containerd::services::snapshots::v1;

/// check(), but containerd's INVALID_ARGUMENT for an unknown snapshotter becomes not_found.
void check_call(const grpc::Status& status, const Connection& connection,
                const std::string& snapshotter, const std::string& what) {
    if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT) {
        const std::vector<Plugin> all = plugins(connection);
        const bool works = std::any_of(all.begin(), all.end(), [&](const Plugin& plugin) {
            return plugin.type == "io.containerd.snapshotter.v1" && plugin.id == snapshotter &&
                   plugin.init_error.empty();
        });
        if (!works) {
            throw Error(
                Errc::not_found,
                "cannot " + what + ": containerd has no working snapshotter '" + snapshotter + "'",
                "name one that `ctr plugins ls` shows as ok with --snapshotter");
        }
    }
    check(status, connection, what);
}

/// If containerd is killed during Prepare, an unknown directory remains. The next call fails
/// because of it, and removes it.
bool is_leftover_directory(const grpc::Status& status) {
    return status.error_code() == grpc::StatusCode::UNKNOWN &&
           status.error_message().find("file exists") != std::string::npos;
}

SnapshotKind kind_from(snapshots_api::Kind wire) {
    if (wire == snapshots_api::VIEW) return SnapshotKind::view;
    if (wire == snapshots_api::ACTIVE) return SnapshotKind::active;
    if (wire == snapshots_api::COMMITTED) return SnapshotKind::committed;
    return SnapshotKind::unknown;
}

SnapshotInfo snapshot_info_from(const snapshots_api::Info& wire) {
    return SnapshotInfo{.name = wire.name(),
                        .parent = wire.parent(),
                        .kind = kind_from(wire.kind()),
                        .labels = labels_from(wire.labels()),
                        .created_at = time_from(wire.created_at())};
}

template <typename Wires>
std::vector<Mount> mounts_from(const Wires& wires) {
    std::vector<Mount> mounts;
    for (const auto& wire : wires) {
        mounts.push_back(Mount{.type = wire.type(),
                               .source = wire.source(),
                               .target = wire.target(),
                               .options = {wire.options().begin(), wire.options().end()}});
    }
    return mounts;
}

/// The elements of the options; one option may have several, joined by commas.
std::vector<std::string_view> elements_of(const Mount& mount) {
    std::vector<std::string_view> elements;
    for (std::string_view rest : mount.options) {
        while (true) {
            const std::size_t comma = rest.find(',');
            elements.push_back(rest.substr(0, comma));
            if (comma == std::string_view::npos) break;
            rest.remove_prefix(comma + 1);
        }
    }
    return elements;
}

}  // namespace

bool is_staged(const std::vector<Mount>& mounts) {
    if (mounts.empty()) return false;
    const Mount& last = mounts.back();
    // What comes before the last '/' is for containerd's mount manager: "format/mkdir/overlay".
    const std::string_view type = std::string_view(last.type).substr(last.type.rfind('/') + 1);
    if (type == "erofs") return true;
    const std::vector<std::string_view> elements = elements_of(last);
    const bool is_overlay = type == "overlay";
    if (std::ranges::find(elements, "ro") != elements.end()) return true;
    return is_overlay && std::ranges::none_of(elements, [](std::string_view element) {
               return element.starts_with("upperdir=");
           });
}

Snapshots::Snapshots(const Connection& connection, Scope scope, std::string snapshotter)
    : connection_(connection), scope_(std::move(scope)), snapshotter_(std::move(snapshotter)) {}

std::vector<SnapshotInfo> Snapshots::list() const {
    const std::string what = "list the snapshots of namespace " + scope_.ns;
    snapshots_api::ListSnapshotsRequest request;
    request.set_snapshotter(snapshotter_);
    ReadStream<snapshots_api::Snapshots::Stub, snapshots_api::ListSnapshotsResponse> stream(
        connection_, scope_, &snapshots_api::Snapshots::Stub::List, request, what);
    std::vector<SnapshotInfo> snapshots;
    snapshots_api::ListSnapshotsResponse part;
    while (stream.receive(part)) {
        std::transform(part.info().begin(), part.info().end(), std::back_inserter(snapshots),
                       snapshot_info_from);
    }
    check_call(stream.status(), connection_, snapshotter_, what);
    return snapshots;
}

std::optional<SnapshotInfo> Snapshots::stat(const std::string& name) const {
    snapshots_api::StatSnapshotRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(name);
    snapshots_api::StatSnapshotResponse response;
    const grpc::Status status = invoke(connection_, scope_, &snapshots_api::Snapshots::Stub::Stat,
                                       request, response, kReadTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return {};
    check_call(status, connection_, snapshotter_, "read the snapshot " + name);
    return snapshot_info_from(response.info());
}

std::optional<std::vector<Mount>> Snapshots::prepare(const std::string& key,
                                                     const std::string& parent,
                                                     const Labels& labels) const {
    snapshots_api::PrepareSnapshotRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(key);
    request.set_parent(parent);
    labels_to(labels, *request.mutable_labels());
    snapshots_api::PrepareSnapshotResponse response;
    const auto ask = [&] {
        return invoke(connection_, scope_, &snapshots_api::Snapshots::Stub::Prepare, request,
                      response, kWriteTimeout);
    };
    grpc::Status status = ask();
    if (is_leftover_directory(status)) status = ask();
    if (status.error_code() == grpc::StatusCode::ALREADY_EXISTS) {
        // One code for two cases: the target exists, or the key does.
        const auto target = labels.find(kSnapshotRefLabel);
        if (target != labels.end() && stat(target->second)) {
            // containerd adds to the lease what it creates, but not what it finds.
            if (!scope_.lease.empty()) {
                Leases(connection_, scope_.ns)
                    .add_snapshot(scope_.lease, snapshotter_, target->second);
            }
            return {};
        }
    }
    check_call(status, connection_, snapshotter_, "prepare the snapshot " + key);
    return mounts_from(response.mounts());
}

std::vector<Mount> Snapshots::view(const std::string& key, const std::string& parent) const {
    snapshots_api::ViewSnapshotRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(key);
    request.set_parent(parent);
    snapshots_api::ViewSnapshotResponse response;
    check_call(invoke(connection_, scope_, &snapshots_api::Snapshots::Stub::View, request, response,
                      kWriteTimeout),
               connection_, snapshotter_, "view the snapshot " + parent);
    return mounts_from(response.mounts());
}

CommitOutcome Snapshots::commit(const std::string& name, const std::string& key,
                                const Labels& labels) const {
    snapshots_api::CommitSnapshotRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_name(name);
    request.set_key(key);
    labels_to(labels, *request.mutable_labels());
    google::protobuf::Empty response;
    const grpc::Status status = invoke(connection_, scope_, &snapshots_api::Snapshots::Stub::Commit,
                                       request, response, kWriteTimeout);
    if (status.error_code() == grpc::StatusCode::ALREADY_EXISTS)
        return CommitOutcome::already_there;
    check_call(status, connection_, snapshotter_, "commit the snapshot " + name);
    return CommitOutcome::committed;
}

void Snapshots::remove(const std::string& key) const {
    snapshots_api::RemoveSnapshotRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(key);
    google::protobuf::Empty response;
    const grpc::Status status = invoke(connection_, scope_, &snapshots_api::Snapshots::Stub::Remove,
                                       request, response, kWriteTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return;
    check_call(status, connection_, snapshotter_, "remove the snapshot " + key);
}

SnapshotUsage Snapshots::usage(const std::string& name) const {
    snapshots_api::UsageRequest request;
    request.set_snapshotter(snapshotter_);
    request.set_key(name);
    snapshots_api::UsageResponse response;
    check_call(invoke(connection_, scope_, &snapshots_api::Snapshots::Stub::Usage, request,
                      response, kReadTimeout),
               connection_, snapshotter_, "measure the snapshot " + name);
    return SnapshotUsage{.bytes = static_cast<std::uint64_t>(response.size()),
                         .inodes = static_cast<std::uint64_t>(response.inodes())};
}

}  // namespace prebake::containerd
