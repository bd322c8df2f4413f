#include "agent/containerd/tasks.h"

#include <optional>
#include <utility>

#include "agent/containerd/call.h"
#include "proto/containerd/tasks.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace tasks_api = ::containerd::services::tasks::v1;

}  // namespace

Tasks::Tasks(const Connection& connection, std::string ns)
    : connection_(connection), scope_{.ns = std::move(ns), .lease = {}} {}

std::uint32_t Tasks::create(const std::string& id, const std::vector<Mount>& rootfs,
                            const std::string& output) const {
    tasks_api::CreateTaskRequest request;
    request.set_container_id(id);
    for (const Mount& mount : rootfs) {
        auto& wire = *request.add_rootfs();
        wire.set_type(mount.type);
        wire.set_source(mount.source);
        wire.set_target(mount.target);
        wire.mutable_options()->Assign(mount.options.begin(), mount.options.end());
    }
    request.set_stdout(output);
    request.set_stderr(output);
    tasks_api::CreateTaskResponse response;
    check(invoke(connection_, scope_, &tasks_api::Tasks::Stub::Create, request, response,
                 kWriteTimeout),
          connection_, "prepare the process of the container " + id);
    return response.pid();
}

void Tasks::start(const std::string& id) const {
    tasks_api::StartRequest request;
    request.set_container_id(id);
    tasks_api::StartResponse response;
    check(invoke(connection_, scope_, &tasks_api::Tasks::Stub::Start, request, response,
                 kWriteTimeout),
          connection_, "start the container " + id);
}

std::uint32_t Tasks::wait(const std::string& id) const {
    tasks_api::WaitRequest request;
    request.set_container_id(id);
    tasks_api::WaitResponse response;
    check(
        invoke(connection_, scope_, &tasks_api::Tasks::Stub::Wait, request, response, std::nullopt),
        connection_, "wait for the end of the container " + id);
    return response.exit_status();
}

}  // namespace prebake::containerd
