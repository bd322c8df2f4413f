#include "agent/containerd/containers.h"

#include <chrono>
#include <csignal>
#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/call.h"
#include "proto/containerd/containers.grpc.pb.h"
#include "proto/containerd/namespaces.grpc.pb.h"
#include "proto/containerd/tasks.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace containers_api = ::containerd::services::containers::v1;
namespace tasks = ::containerd::services::tasks::v1;
namespace names = ::containerd::services::namespaces::v1;

/// For a killed process to end: only a process that blocks in the kernel takes longer.
constexpr std::chrono::seconds kKillTimeout{30};

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

std::vector<std::string> Containers::list() const {
    containers_api::ListContainersResponse response;
    check(invoke(connection_, scope_, &containers_api::Containers::Stub::List,
                 containers_api::ListContainersRequest(), response, kReadTimeout),
          connection_, "list the containers of namespace " + scope_.ns);
    std::vector<std::string> ids;
    for (const containers_api::Container& container : response.containers())
        ids.push_back(container.id());
    return ids;
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
