#include "agent/containerd/leases.h"

#include <google/protobuf/util/time_util.h>

#include <ctime>
#include <utility>

#include "agent/base/timestamp.h"
#include "agent/containerd/call.h"
#include "agent/containerd/wire.h"
#include "proto/containerd/leases.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace leases_api = ::containerd::services::leases::v1;

constexpr const char* kExpiryLabel = "containerd.io/gc.expire";
constexpr const char* kBlobType = "content";
const std::string kSnapshotTypes = "snapshots/";  // followed by the snapshotter

/// RFC 3339 in UTC. In containerd, a lease with a malformed time never expires.
std::string rfc3339(std::chrono::system_clock::time_point when) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    char text[sizeof "2006-01-02T15:04:05Z"];
    return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc));
}

}  // namespace

Leases::Leases(const Connection& connection, std::string ns)
    : connection_(connection), ns_(std::move(ns)) {}

void Leases::create(const std::string& id, std::chrono::seconds lifetime, Labels labels) const {
    labels[kExpiryLabel] = rfc3339(std::chrono::system_clock::now() + lifetime);
    leases_api::CreateRequest request;
    request.set_id(id);
    labels_to(labels, *request.mutable_labels());
    leases_api::CreateResponse response;
    check(invoke(connection_, Scope{.ns = ns_, .lease = {}}, &leases_api::Leases::Stub::Create,
                 request, response, kWriteTimeout),
          connection_, "create the lease " + id + " in namespace " + ns_);
}

std::vector<Lease> Leases::list() const {
    leases_api::ListResponse response;
    check(invoke(connection_, Scope{.ns = ns_, .lease = {}}, &leases_api::Leases::Stub::List,
                 leases_api::ListRequest(), response, kReadTimeout),
          connection_, "list the leases of namespace " + ns_);
    std::vector<Lease> leases;
    for (const leases_api::Lease& wire : response.leases()) {
        Lease& lease =
            leases.emplace_back(Lease{.id = wire.id(), .labels = labels_from(wire.labels())});
        google::protobuf::Timestamp expiry;
        const auto label = lease.labels.find(kExpiryLabel);
        if (label != lease.labels.end() &&
            google::protobuf::util::TimeUtil::FromString(label->second, &expiry)) {
            lease.expires_at = time_from(expiry);
        }
    }
    return leases;
}

void Leases::add_snapshot(const std::string& id, const std::string& snapshotter,
                          const std::string& name) const {
    add(id, kSnapshotTypes + snapshotter, name);
}

void Leases::add_blob(const std::string& id, const std::string& digest) const {
    add(id, kBlobType, digest);
}

void Leases::add(const std::string& id, const std::string& type, const std::string& name) const {
    leases_api::AddResourceRequest request;
    request.set_id(id);
    request.mutable_resource()->set_id(name);
    request.mutable_resource()->set_type(type);
    google::protobuf::Empty response;
    check(invoke(connection_, Scope{.ns = ns_, .lease = {}}, &leases_api::Leases::Stub::AddResource,
                 request, response, kWriteTimeout),
          connection_, "put " + type + " " + name + " under the lease " + id);
}

void Leases::remove_blob(const std::string& id, const std::string& digest) const {
    leases_api::DeleteResourceRequest request;
    request.set_id(id);
    request.mutable_resource()->set_id(digest);
    request.mutable_resource()->set_type(kBlobType);
    google::protobuf::Empty response;
    const grpc::Status status =
        invoke(connection_, Scope{.ns = ns_, .lease = {}},
               &leases_api::Leases::Stub::DeleteResource, request, response, kWriteTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return;
    check(status, connection_, "take the blob " + digest + " out of the lease " + id);
}

void Leases::for_each_resource(
    const std::string& id,
    const std::function<void(const std::string&, const std::string&)>& visit) const {
    leases_api::ListResourcesRequest request;
    request.set_id(id);
    leases_api::ListResourcesResponse response;
    check(invoke(connection_, Scope{.ns = ns_, .lease = {}},
                 &leases_api::Leases::Stub::ListResources, request, response, kReadTimeout),
          connection_, "list what the lease " + id + " in namespace " + ns_ + " holds");
    for (const leases_api::Resource& resource : response.resources()) {
        visit(resource.type(), resource.id());
    }
}

std::set<std::string> Leases::blobs(const std::string& id) const {
    std::set<std::string> digests;
    for_each_resource(id, [&](const std::string& type, const std::string& name) {
        if (type == kBlobType) digests.insert(name);
    });
    return digests;
}

std::vector<LeasedSnapshot> Leases::snapshots(const std::string& id) const {
    std::vector<LeasedSnapshot> found;
    for_each_resource(id, [&](const std::string& type, const std::string& name) {
        if (!type.starts_with(kSnapshotTypes)) return;
        found.push_back({.snapshotter = type.substr(kSnapshotTypes.size()), .name = name});
    });
    return found;
}

void Leases::collect_garbage() const {
    // There is no call for it, but deleting a lease with `sync` collects garbage and waits.
    const std::string id = timestamped("prebake-collect-");
    create(id, std::chrono::minutes(1), {});
    remove(id, Collection::awaited);
}

void Leases::remove(const std::string& id, Collection collection) const {
    leases_api::DeleteRequest request;
    request.set_id(id);
    request.set_sync(collection == Collection::awaited);
    google::protobuf::Empty response;
    const grpc::Status status =
        invoke(connection_, Scope{.ns = ns_, .lease = {}}, &leases_api::Leases::Stub::Delete,
               request, response, kWriteTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return;
    check(status, connection_, "remove the lease " + id + " from namespace " + ns_);
}

}  // namespace prebake::containerd
