#include "agent/containerd/introspection.h"

#include "agent/containerd/call.h"
#include "agent/containerd/wire.h"
#include "proto/containerd/introspection.grpc.pb.h"
#include "proto/containerd/namespaces.grpc.pb.h"

namespace prebake::containerd {

std::vector<Plugin> plugins(const Connection& connection) {
    namespace api = ::containerd::services::introspection::v1;
    api::PluginsResponse response;
    check(invoke(connection, Scope{}, &api::Introspection::Stub::Plugins, api::PluginsRequest(),
                 response, kReadTimeout),
          connection, "list the plugins of containerd");
    std::vector<Plugin> plugins;
    for (const api::Plugin& wire : response.plugins()) {
        plugins.push_back(
            Plugin{.type = wire.type(),
                   .id = wire.id(),
                   .capabilities = {wire.capabilities().begin(), wire.capabilities().end()},
                   .exports = labels_from(wire.exports()),
                   .init_error = wire.init_err().message()});
    }
    return plugins;
}

std::string default_snapshotter_of(const Connection& connection, const std::string& ns) {
    namespace api = ::containerd::services::namespaces::v1;
    api::GetNamespaceRequest request;
    request.set_name(ns);
    api::GetNamespaceResponse response;
    const grpc::Status status =
        invoke(connection, Scope{}, &api::Namespaces::Stub::Get, request, response, kReadTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return {};
    check(status, connection, "read the labels of namespace " + ns);
    const auto& labels = response.namespace_().labels();
    const auto found = labels.find("containerd.io/defaults/snapshotter");
    return found == labels.end() ? std::string() : found->second;
}

}  // namespace prebake::containerd
