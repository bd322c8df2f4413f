// A minimal kubelet: pulls images and runs pods on the node's network through the CRI of
// containerd.
//
//   cri_client SOCKET ready                             0 if CRI serves
//   cri_client SOCKET pull IMAGE                        prints the image's id
//   cri_client SOCKET remove-image IMAGE
//   cri_client SOCKET pod NAME                          prints the pod's id
//   cri_client SOCKET container POD NAME IMAGE ARG...   starts it; prints the container's id
//   cri_client SOCKET remove-container ID
//   cri_client SOCKET remove-pod POD
//   cri_client SOCKET storm COUNT       publishes so many events, as fast as it can

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/cri_client/cri_pods.grpc.pb.h"
#include "tests/system/cri_client/event_storm.grpc.pb.h"

namespace {

namespace api = ::runtime::v1;
using Arguments = std::vector<std::string>;

constexpr std::chrono::minutes kPatience{2};
/// NamespaceMode NODE: no CNI plugin is needed.
constexpr int kNode = 2;

class Client {
  public:
    explicit Client(const std::string& socket)
        : channel_(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials())),
          runtime_(api::RuntimeService::NewStub(channel_)),
          images_(api::ImageService::NewStub(channel_)) {}

    int run(const std::string& verb, const Arguments& arguments) {
        using Verb = std::function<grpc::Status(grpc::ClientContext*, const Arguments&)>;
        const std::map<std::string, std::pair<std::size_t, Verb>> verbs{
            {"ready", {0, [this](auto* context, auto&) { return ready(context); }}},
            {"pull", {1, [this](auto* context, auto& a) { return pull(context, a[0]); }}},
            {"remove-image",
             {1, [this](auto* context, auto& a) { return remove_image(context, a[0]); }}},
            {"pod", {1, [this](auto* context, auto& a) { return run_pod(context, a[0]); }}},
            {"container", {3, [this](auto* context, auto& a) { return start(context, a); }}},
            {"remove-container",
             {1, [this](auto* context, auto& a) { return remove_container(context, a[0]); }}},
            {"storm",
             {1,
              [this](auto*, auto& a) {
                  return storm(std::stoul(a[0]), a.size() > 1 ? a[1] : std::string());
              }}},
            {"remove-pod",
             {1, [this](auto* context, auto& a) { return remove_pod(context, a[0]); }}}};
        const auto found = verbs.find(verb);
        if (found == verbs.end() || arguments.size() < found->second.first) {
            std::fprintf(stderr, "cri_client: wrong arguments for %s\n", verb.c_str());
            return 2;
        }
        grpc::ClientContext context;
        prepare(context);
        const grpc::Status status = found->second.second(&context, arguments);
        if (status.ok()) return 0;
        std::fprintf(stderr, "cri_client: %s: %s\n", verb.c_str(), status.error_message().c_str());
        return 1;
    }

  private:
    static void prepare(grpc::ClientContext& context) {
        context.set_deadline(std::chrono::system_clock::now() + kPatience);
        context.set_wait_for_ready(true);
    }

    static api::PodSandboxConfig config_of(const std::string& pod) {
        api::PodSandboxConfig config;
        config.mutable_metadata()->set_name(pod);
        config.mutable_metadata()->set_uid(pod);
        config.mutable_metadata()->set_namespace_("default");
        config.mutable_linux()->set_cgroup_parent("/prebake-test");
        auto* options =
            config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
        options->set_network(kNode);
        return config;
    }

    grpc::Status ready(grpc::ClientContext* context) {
        api::Empty status;
        return runtime_->Status(context, api::Empty(), &status);
    }

    grpc::Status pull(grpc::ClientContext* context, const std::string& image) {
        api::ImageRequest request;
        request.mutable_image()->set_image(image);
        api::PullImageResponse response;
        const grpc::Status status = images_->PullImage(context, request, &response);
        if (status.ok()) std::puts(response.image_ref().c_str());
        return status;
    }

    grpc::Status remove_image(grpc::ClientContext* context, const std::string& image) {
        api::ImageRequest request;
        request.mutable_image()->set_image(image);
        api::Empty response;
        return images_->RemoveImage(context, request, &response);
    }

    grpc::Status run_pod(grpc::ClientContext* context, const std::string& name) {
        api::RunPodSandboxRequest request;
        *request.mutable_config() = config_of(name);
        api::RunPodSandboxResponse response;
        const grpc::Status status = runtime_->RunPodSandbox(context, request, &response);
        if (status.ok()) std::puts(response.pod_sandbox_id().c_str());
        return status;
    }

    grpc::Status start(grpc::ClientContext* context, const Arguments& arguments) {
        api::CreateContainerRequest create;
        create.set_pod_sandbox_id(arguments[0]);
        create.mutable_config()->mutable_metadata()->set_name(arguments[1]);
        create.mutable_config()->mutable_image()->set_image(arguments[2]);
        for (std::size_t i = 3; i < arguments.size(); ++i) {
            create.mutable_config()->add_command(arguments[i]);
        }
        create.mutable_config()
            ->mutable_linux()
            ->mutable_security_context()
            ->mutable_namespace_options()
            ->set_network(kNode);
        *create.mutable_sandbox_config() = config_of("pod");
        api::CreateContainerResponse created;
        const grpc::Status status = runtime_->CreateContainer(context, create, &created);
        if (!status.ok()) return status;
        std::puts(created.container_id().c_str());
        api::ContainerRequest start;
        start.set_container_id(created.container_id());
        api::Empty started;
        grpc::ClientContext another;
        prepare(another);
        return runtime_->StartContainer(&another, start, &started);
    }

    grpc::Status remove_container(grpc::ClientContext* context, const std::string& id) {
        api::ContainerRequest request;
        request.set_container_id(id);
        api::Empty response;
        return runtime_->RemoveContainer(context, request, &response);
    }

    grpc::Status remove_pod(grpc::ClientContext* context, const std::string& id) {
        api::PodRequest request;
        request.set_pod_sandbox_id(id);
        api::Empty response;
        const grpc::Status status = runtime_->StopPodSandbox(context, request, &response);
        if (!status.ok()) return status;
        grpc::ClientContext another;
        prepare(another);
        return runtime_->RemovePodSandbox(&another, request, &response);
    }

    /// Publishes updates of `image`, or, if it is empty, preparations of snapshots without an
    /// image, like those of containers.
    grpc::Status storm(std::size_t count, const std::string& image) {
        namespace events = ::containerd::services::events::v1;
        constexpr std::size_t kThreads = 8;
        std::array<grpc::Status, kThreads> results;
        std::vector<std::jthread> threads;
        for (std::size_t thread = 0; thread < kThreads; ++thread) {
            threads.emplace_back([&, thread] {
                const auto stub = events::Events::NewStub(channel_);
                for (std::size_t i = thread; i < count && results[thread].ok(); i += kThreads) {
                    events::PublishRequest request;
                    if (image.empty()) {
                        events::SnapshotPrepare snapshot;
                        snapshot.set_key("storm-" + std::to_string(i));
                        snapshot.set_parent("storm-parent-" + std::to_string(i));
                        request.set_topic("/snapshot/prepare");
                        request.mutable_event()->set_type_url("containerd.events.SnapshotPrepare");
                        request.mutable_event()->set_value(snapshot.SerializeAsString());
                    } else {
                        events::ImageUpdate update;
                        update.set_name(image);
                        request.set_topic("/images/update");
                        request.mutable_event()->set_type_url(
                            "containerd.services.images.v1.ImageUpdate");
                        request.mutable_event()->set_value(update.SerializeAsString());
                    }
                    grpc::ClientContext context;
                    context.AddMetadata("containerd-namespace", "k8s.io");
                    events::Published response;
                    results[thread] = stub->Publish(&context, request, &response);
                }
            });
        }
        threads.clear();
        for (const grpc::Status& result : results) {
            if (!result.ok()) return result;
        }
        return grpc::Status::OK;
    }

    std::shared_ptr<grpc::Channel> channel_;
    std::unique_ptr<api::RuntimeService::Stub> runtime_;
    std::unique_ptr<api::ImageService::Stub> images_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fputs("usage: cri_client SOCKET VERB [ARGUMENT...]\n", stderr);
        return 2;
    }
    return Client(argv[1]).run(argv[2], Arguments(argv + 3, argv + argc));
}
