#include "agent/containerd/containers.h"

#include <chrono>
#include <csignal>
#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/call.h"
#include "agent/containerd/wire.h"
#include "proto/containerd/containers.grpc.pb.h"
#include "proto/containerd/namespaces.grpc.pb.h"
#include "proto/containerd/tasks.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace containers_api = ::containerd::services::containers::v1;
namespace tasks = ::containerd::services::tasks::v1;
namespace task_types = ::containerd::v1::types;
namespace names = ::containerd::services::namespaces::v1;

/// For a killed process to end: only a process that blocks in the kernel takes longer.
constexpr std::chrono::seconds kKillTimeout{30};

/// In all versions of containerd that have the services above.
constexpr const char* kRuntime = "io.containerd.runc.v2";
/// What containerd's clients call a specification. Its value is JSON, not a message.
constexpr const char* kSpecType = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

Container container_from(const containers_api::Container& wire) {
    return {.id = wire.id(), .image = wire.image(), .snapshot_key = wire.snapshot_key()};
}

bool is_gone(const grpc::Status& status) {
    return status.error_code() == grpc::StatusCode::NOT_FOUND;
}

}  // namespace

std::vector<std::string> namespaces(const Connection& connection) {
    names::ListNamespacesResponse response;
    check(invoke(connection, Scope{}, &names::Namespaces::Stub::List,
                 names::ListNamespacesRequest(), response, kReadTimeout),
          connection, "list the namespaces");
    std::vector<std::string> result;
    for (const names::Namespace& ns : response.namespaces()) result.push_back(ns.name());
    return result;
}

Containers::Containers(const Connection& connection, std::string ns)
    : connection_(connection), scope_{.ns = std::move(ns), .lease = {}} {}

std::vector<Container> Containers::list() const {
    containers_api::ListContainersResponse response;
    check(invoke(connection_, scope_, &containers_api::Containers::Stub::List,
                 containers_api::ListContainersRequest(), response, kReadTimeout),
          connection_, "list the containers of namespace " + scope_.ns);
    std::vector<Container> containers;
    for (const containers_api::Container& wire : response.containers()) {
        containers.push_back(container_from(wire));
    }
    return containers;
}

std::optional<Container> Containers::find(const std::string& id) const {
    containers_api::GetContainerRequest request;
    request.set_id(id);
    containers_api::GetContainerResponse response;
    const grpc::Status status = invoke(connection_, scope_, &containers_api::Containers::Stub::Get,
                                       request, response, kReadTimeout);
    if (is_gone(status)) return {};
    check(status, connection_, "look for the container " + id + " of namespace " + scope_.ns);
    return container_from(response.container());
}

std::set<std::string> Containers::started() const {
    tasks::ListTasksResponse response;
    check(invoke(connection_, scope_, &tasks::Tasks::Stub::List, tasks::ListTasksRequest(),
                 response, kReadTimeout),
          connection_, "list the tasks of namespace " + scope_.ns);
    std::set<std::string> ids;
    for (const task_types::Process& task : response.tasks()) {
        const bool has_run =
            task.status() == task_types::RUNNING || task.status() == task_types::STOPPED ||
            task.status() == task_types::PAUSED || task.status() == task_types::PAUSING;
        if (has_run) ids.insert(task.container_id().empty() ? task.id() : task.container_id());
    }
    return ids;
}

void Containers::create(const NewContainer& container) const {
    containers_api::CreateContainerRequest request;
    containers_api::Container& wire = *request.mutable_container();
    wire.set_id(container.id);
    wire.set_image(container.image);
    wire.set_snapshotter(container.snapshotter);
    wire.set_snapshot_key(container.snapshot_key);
    labels_to(container.labels, *wire.mutable_labels());
    wire.mutable_runtime()->set_name(kRuntime);
    wire.mutable_spec()->set_type_url(kSpecType);
    wire.mutable_spec()->set_value(container.spec);
    containers_api::CreateContainerResponse response;
    check(invoke(connection_, scope_, &containers_api::Containers::Stub::Create, request, response,
                 kWriteTimeout),
          connection_, "create the container " + container.id + " in namespace " + scope_.ns);
}

void Containers::remove(const std::string& id) const {
    const std::string what = "stop the container " + id + " of namespace " + scope_.ns;
    tasks::KillRequest kill;
    kill.set_container_id(id);
    kill.set_signal(SIGKILL);
    kill.set_all(true);
    google::protobuf::Empty nothing;
    const grpc::Status killed =
        invoke(connection_, scope_, &tasks::Tasks::Stub::Kill, kill, nothing, kKillTimeout);
    // A container without a task does not run. Other errors (it has just ended) show in the next
    // calls.
    if (!is_gone(killed)) {
        tasks::WaitRequest wait;
        wait.set_container_id(id);
        tasks::WaitResponse exit;
        const grpc::Status ended =
            invoke(connection_, scope_, &tasks::Tasks::Stub::Wait, wait, exit, kKillTimeout);
        if (!is_gone(ended)) check(ended, connection_, what);
        tasks::DeleteTaskRequest remove_task;
        remove_task.set_container_id(id);
        tasks::DeleteResponse removed;
        const grpc::Status deleted = invoke(connection_, scope_, &tasks::Tasks::Stub::Delete,
                                            remove_task, removed, kKillTimeout);
        if (!is_gone(deleted)) check(deleted, connection_, what);
    }
    containers_api::DeleteContainerRequest remove;
    remove.set_id(id);
    const grpc::Status status =
        invoke(connection_, scope_, &containers_api::Containers::Stub::Delete, remove, nothing,
               kWriteTimeout);
    if (!is_gone(status)) check(status, connection_, "remove the container " + id);
}

}  // namespace prebake::containerd
