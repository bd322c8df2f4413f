#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "agent/containerd/connection.h"
#include "proto/containerd/containers.grpc.pb.h"
#include "proto/containerd/content.grpc.pb.h"
#include "proto/containerd/cri.grpc.pb.h"
#include "proto/containerd/events.grpc.pb.h"
#include "proto/containerd/images.grpc.pb.h"
#include "proto/containerd/introspection.grpc.pb.h"
#include "proto/containerd/leases.grpc.pb.h"
#include "proto/containerd/namespaces.grpc.pb.h"
#include "proto/containerd/snapshots.grpc.pb.h"
#include "proto/containerd/tasks.grpc.pb.h"
#include "proto/containerd/version.grpc.pb.h"
#include "tests/unit/temporary_directory.h"

/// A gRPC server with containerd's services whose responses are those of the test.
namespace prebake::containerd::fake {

namespace containers = ::containerd::services::containers::v1;
namespace content = ::containerd::services::content::v1;
namespace cri = ::runtime::v1;
namespace events = ::containerd::services::events::v1;
namespace images = ::containerd::services::images::v1;
namespace introspection = ::containerd::services::introspection::v1;
namespace leases = ::containerd::services::leases::v1;
namespace namespaces = ::containerd::services::namespaces::v1;
namespace snapshots = ::containerd::services::snapshots::v1;
namespace tasks = ::containerd::services::tasks::v1;
namespace version = ::containerd::services::version::v1;
using google::protobuf::Empty;
using grpc::ServerContext;

/// What a test sets for a method. Without it the method is UNIMPLEMENTED. Runs on a thread of gRPC.
template <typename Request, typename Response>
using Handler = std::function<grpc::Status(ServerContext&, const Request&, Response&)>;
template <typename Request, typename Response>
using StreamHandler =
    std::function<grpc::Status(ServerContext&, const Request&, grpc::ServerWriter<Response>&)>;

inline grpc::Status unimplemented() {
    return {grpc::StatusCode::UNIMPLEMENTED, "not in this test"};
}

/// Defines the method `Name` of a service, and the member `name` that a test sets.
#define PREBAKE_FAKE_METHOD(Name, name, Request, Response)                                \
    Handler<Request, Response> name;                                                      \
    grpc::Status Name(ServerContext* context, const Request* request, Response* response) \
        override {                                                                        \
        return name ? name(*context, *request, *response) : unimplemented();              \
    }
#define PREBAKE_FAKE_STREAM(Name, name, Request, Response)                 \
    StreamHandler<Request, Response> name;                                 \
    grpc::Status Name(ServerContext* context, const Request* request,      \
                      grpc::ServerWriter<Response>* stream) override {     \
        return name ? name(*context, *request, *stream) : unimplemented(); \
    }

struct VersionService final : version::Version::Service {
    PREBAKE_FAKE_METHOD(Version, version, Empty, version::VersionResponse)
};

struct ContentService final : content::Content::Service {
    using WriteStream =
        grpc::ServerReaderWriter<content::WriteContentResponse, content::WriteContentRequest>;

    PREBAKE_FAKE_METHOD(Info, info, content::InfoRequest, content::InfoResponse)
    PREBAKE_FAKE_METHOD(Update, update, content::UpdateRequest, content::UpdateResponse)
    PREBAKE_FAKE_METHOD(Delete, remove, content::DeleteContentRequest, Empty)
    PREBAKE_FAKE_METHOD(Status, status, content::StatusRequest, content::StatusResponse)
    PREBAKE_FAKE_METHOD(Abort, abort, content::AbortRequest, Empty)
    PREBAKE_FAKE_STREAM(List, list, content::ListContentRequest, content::ListContentResponse)
    PREBAKE_FAKE_STREAM(Read, read, content::ReadContentRequest, content::ReadContentResponse)

    std::function<grpc::Status(WriteStream&)> write;
    grpc::Status Write(ServerContext*, WriteStream* stream) override {
        return write ? write(*stream) : unimplemented();
    }
};

struct ImagesService final : images::Images::Service {
    PREBAKE_FAKE_METHOD(Get, get, images::GetImageRequest, images::GetImageResponse)
    PREBAKE_FAKE_METHOD(List, list, images::ListImagesRequest, images::ListImagesResponse)
    PREBAKE_FAKE_METHOD(Create, create, images::CreateImageRequest, images::CreateImageResponse)
    PREBAKE_FAKE_METHOD(Update, update, images::UpdateImageRequest, images::UpdateImageResponse)
    PREBAKE_FAKE_METHOD(Delete, remove, images::DeleteImageRequest, Empty)
};

struct SnapshotsService final : snapshots::Snapshots::Service {
    PREBAKE_FAKE_METHOD(Prepare, prepare, snapshots::PrepareSnapshotRequest,
                        snapshots::PrepareSnapshotResponse)
    PREBAKE_FAKE_METHOD(Commit, commit, snapshots::CommitSnapshotRequest, Empty)
    PREBAKE_FAKE_METHOD(Remove, remove, snapshots::RemoveSnapshotRequest, Empty)
    PREBAKE_FAKE_METHOD(Stat, stat, snapshots::StatSnapshotRequest, snapshots::StatSnapshotResponse)
    PREBAKE_FAKE_METHOD(Usage, usage, snapshots::UsageRequest, snapshots::UsageResponse)
    PREBAKE_FAKE_STREAM(List, list, snapshots::ListSnapshotsRequest,
                        snapshots::ListSnapshotsResponse)
};

struct ContainersService final : containers::Containers::Service {
    PREBAKE_FAKE_METHOD(Get, get, containers::GetContainerRequest, containers::GetContainerResponse)
    PREBAKE_FAKE_METHOD(List, list, containers::ListContainersRequest,
                        containers::ListContainersResponse)
};

struct TasksService final : tasks::Tasks::Service {
    PREBAKE_FAKE_METHOD(List, list, tasks::ListTasksRequest, tasks::ListTasksResponse)
};

struct LeasesService final : leases::Leases::Service {
    PREBAKE_FAKE_METHOD(Create, create, leases::CreateRequest, leases::CreateResponse)
    PREBAKE_FAKE_METHOD(Delete, remove, leases::DeleteRequest, Empty)
    PREBAKE_FAKE_METHOD(List, list, leases::ListRequest, leases::ListResponse)
    PREBAKE_FAKE_METHOD(DeleteResource, remove_resource, leases::DeleteResourceRequest, Empty)
    PREBAKE_FAKE_METHOD(ListResources, list_resources, leases::ListResourcesRequest,
                        leases::ListResourcesResponse)
    PREBAKE_FAKE_METHOD(AddResource, add_resource, leases::AddResourceRequest, Empty)
};

struct NamespacesService final : namespaces::Namespaces::Service {
    PREBAKE_FAKE_METHOD(Get, get, namespaces::GetNamespaceRequest, namespaces::GetNamespaceResponse)
    PREBAKE_FAKE_METHOD(List, list, namespaces::ListNamespacesRequest,
                        namespaces::ListNamespacesResponse)
};

struct IntrospectionService final : introspection::Introspection::Service {
    PREBAKE_FAKE_METHOD(Plugins, plugins, introspection::PluginsRequest,
                        introspection::PluginsResponse)
};

struct EventsService final : events::Events::Service {
    PREBAKE_FAKE_METHOD(Publish, publish, events::PublishRequest, Empty)
    PREBAKE_FAKE_STREAM(Subscribe, subscribe, events::SubscribeRequest, events::Envelope)
};

struct RuntimeService final : cri::RuntimeService::Service {
    PREBAKE_FAKE_METHOD(Version, version, cri::VersionRequest, cri::VersionResponse)
    PREBAKE_FAKE_METHOD(Status, status, cri::StatusRequest, cri::StatusResponse)
    PREBAKE_FAKE_METHOD(ListPodSandbox, list_pods, cri::ListPodSandboxRequest,
                        cri::ListPodSandboxResponse)
    PREBAKE_FAKE_METHOD(StopPodSandbox, stop_pod, cri::StopPodSandboxRequest,
                        cri::StopPodSandboxResponse)
    PREBAKE_FAKE_METHOD(RemovePodSandbox, remove_pod, cri::RemovePodSandboxRequest,
                        cri::RemovePodSandboxResponse)
};

struct ImageService final : cri::ImageService::Service {
    PREBAKE_FAKE_METHOD(ImageStatus, image_status, cri::ImageStatusRequest,
                        cri::ImageStatusResponse)
    PREBAKE_FAKE_METHOD(ListImages, list_images, cri::ListImagesRequest, cri::ListImagesResponse)
    PREBAKE_FAKE_METHOD(ImageFsInfo, image_fs_info, cri::ImageFsInfoRequest,
                        cri::ImageFsInfoResponse)
};

#undef PREBAKE_FAKE_METHOD
#undef PREBAKE_FAKE_STREAM

/// The services on a unix socket. A test sets the handlers before the first call.
class Containerd {
  public:
    Containerd() { start(); }
    ~Containerd() { stop(); }
    Containerd(const Containerd&) = delete;
    Containerd& operator=(const Containerd&) = delete;

    void start() {
        grpc::ServerBuilder builder;
        builder.AddListeningPort("unix:" + socket(), grpc::InsecureServerCredentials());
        builder.RegisterService(&version);
        builder.RegisterService(&content);
        builder.RegisterService(&images);
        builder.RegisterService(&snapshots);
        builder.RegisterService(&containers);
        builder.RegisterService(&tasks);
        builder.RegisterService(&leases);
        builder.RegisterService(&namespaces);
        builder.RegisterService(&introspection);
        builder.RegisterService(&events);
        builder.RegisterService(&runtime);
        builder.RegisterService(&image_service);
        server_ = builder.BuildAndStart();
    }
    /// Cancels the running calls and removes the socket.
    void stop() {
        if (!server_) return;
        server_->Shutdown(std::chrono::system_clock::now());
        server_.reset();
    }

    std::string socket() const { return (directory_.path() / "s").string(); }

    VersionService version;
    ContentService content;
    ImagesService images;
    SnapshotsService snapshots;
    ContainersService containers;
    TasksService tasks;
    LeasesService leases;
    NamespacesService namespaces;
    IntrospectionService introspection;
    EventsService events;
    RuntimeService runtime;
    ImageService image_service;

  private:
    TemporaryDirectory directory_;
    std::unique_ptr<grpc::Server> server_;
};

}  // namespace prebake::containerd::fake
