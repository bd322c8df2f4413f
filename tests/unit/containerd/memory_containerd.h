#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/timestamp.h"
#include "agent/containerd/images.h"
#include "agent/oci/digest.h"
#include "proto/containerd/event_payloads.pb.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::containerd::fake {

/// A containerd that keeps images, blobs and snapshots in memory, delivers events, and reports its
/// own changes of images as events. Without CRI, unless the test sets its methods. Thread-safe.
class MemoryContainerd {
  public:
    using Key = std::pair<std::string, std::string>;  ///< namespace; name or digest
    struct Blob {
        std::string bytes;
        Labels labels = {};
    };
    /// Called before each method, such as "Images.List", without a lock. If it returns an error,
    /// that is the response.
    using Interceptor = std::function<grpc::Status(ServerContext&, const std::string& method)>;

    MemoryContainerd() { set_handlers(); }
    ~MemoryContainerd() { server_.stop(); }
    MemoryContainerd(const MemoryContainerd&) = delete;
    MemoryContainerd& operator=(const MemoryContainerd&) = delete;

    std::string socket() const { return server_.socket(); }
    void start() { server_.start(); }
    /// Ends all calls, as the end of containerd's process does. What it holds stays.
    void stop() { server_.stop(); }
    /// For the methods of CRI: set them while containerd is stopped.
    Containerd& server() { return server_; }
    /// Before the first call. CRI then finds every image in k8s.io by its names.
    void serve_cri() { set_cri_handlers(); }
    /// As before 1.6.22 and 1.7.3.
    void ignore_pins() { ignores_pins_ = true; }

    void intercept(Interceptor interceptor) {
        const std::scoped_lock lock(mutex_);
        interceptor_ = std::move(interceptor);
    }
    std::size_t calls(const std::string& method) const {
        const std::scoped_lock lock(mutex_);
        const auto found = calls_.find(method);
        return found == calls_.end() ? 0 : found->second;
    }
    /// Waits until the method was called that often. False if it hangs.
    bool wait_for_calls(const std::string& method, std::size_t count) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kHang, [&] { return calls_[method] >= count; });
    }

    std::string add_blob(const std::string& ns, const std::string& bytes, Labels labels = {}) {
        const std::scoped_lock lock(mutex_);
        std::string digest = oci::Digest::of(bytes).str();
        blobs_[{ns, digest}] = {.bytes = bytes, .labels = std::move(labels)};
        return digest;
    }
    /// One byte of it is another; the size stays.
    void damage_blob(const std::string& ns, const std::string& digest) {
        const std::scoped_lock lock(mutex_);
        blobs_.at({ns, digest}).bytes.back() ^= 1;
    }
    void remove_blob(const std::string& ns, const std::string& digest) {
        const std::scoped_lock lock(mutex_);
        blobs_.erase({ns, digest});
    }
    void add_snapshot(const std::string& ns, const std::string& name, const std::string& parent) {
        const std::scoped_lock lock(mutex_);
        put_snapshot(ns, name, parent, snapshots::COMMITTED);
    }
    /// Without an event: it was there before.
    void add_image(const std::string& ns, const Image& image) {
        const std::scoped_lock lock(mutex_);
        images::Image& wire = images_[{ns, image.name}];
        wire.set_name(image.name);
        wire.mutable_target()->set_media_type(image.target.media_type);
        wire.mutable_target()->set_digest(image.target.digest.str());
        wire.mutable_target()->set_size(static_cast<std::int64_t>(image.target.size));
        wire.mutable_labels()->insert(image.labels.begin(), image.labels.end());
    }
    /// By another client: an image_updated event follows.
    void remove_label(const std::string& ns, const std::string& name, const std::string& label) {
        const std::scoped_lock lock(mutex_);
        images::Image& image = images_.at({ns, name});
        image.mutable_labels()->erase(label);
        deliver("/images/update", ns, event_about<images::ImageUpdate>(image));
    }
    /// A container is created: its snapshot is prepared on top of `parent`.
    void create_container(const std::string& ns, const std::string& id, const std::string& image,
                          const std::string& parent) {
        const std::scoped_lock lock(mutex_);
        put_snapshot(ns, id, parent, snapshots::ACTIVE);
        ::containerd::events::SnapshotPrepare prepared;
        prepared.set_key(id);
        prepared.set_parent(parent);
        deliver("/snapshot/prepare", ns, prepared);
        containers::Container& container = containers_[{ns, id}];
        container.set_id(id);
        container.set_image(image);
        container.set_snapshot_key(id);
        ::containerd::events::ContainerCreate created;
        created.set_id(id);
        created.set_image(image);
        deliver("/containers/create", ns, created);
    }
    void start_task(const std::string& ns, const std::string& id) {
        const std::scoped_lock lock(mutex_);
        started_.insert({ns, id});
        ::containerd::events::TaskStart payload;
        payload.set_container_id(id);
        deliver("/tasks/start", ns, payload);
    }

    /// Empty if there is no such image.
    Labels labels(const std::string& ns, const std::string& name) const {
        const std::scoped_lock lock(mutex_);
        const auto found = images_.find({ns, name});
        if (found == images_.end()) return {};
        return {found->second.labels().begin(), found->second.labels().end()};
    }
    /// The target's digest; empty if there is no such image.
    std::string target(const std::string& ns, const std::string& name) const {
        const std::scoped_lock lock(mutex_);
        const auto found = images_.find({ns, name});
        return found == images_.end() ? std::string() : found->second.target().digest();
    }
    /// What the lease holds; empty if there is no such lease.
    std::set<std::string> leased(const std::string& ns, const std::string& lease) const {
        const std::scoped_lock lock(mutex_);
        const auto found = leases_.find({ns, lease});
        return found == leases_.end() ? std::set<std::string>() : found->second.resources;
    }
    std::set<std::string> names(const std::string& ns) const {
        const std::scoped_lock lock(mutex_);
        std::set<std::string> names;
        for (const auto& [key, image] : images_) {
            if (key.first == ns) names.insert(key.second);
        }
        return names;
    }

  private:
    struct Lease {
        std::map<std::string, std::string> labels;
        std::set<std::string> resources;
    };
    using Queue = std::deque<events::Envelope>;

    /// Only a defect takes that long.
    static constexpr std::chrono::seconds kHang{60};
    /// How often a blocked method looks whether its call was cancelled.
    static constexpr std::chrono::milliseconds kCancellationPoll{10};

    static grpc::Status not_found() { return {grpc::StatusCode::NOT_FOUND, "not found"}; }

    static std::string namespace_of(const ServerContext& context) {
        const auto& metadata = context.client_metadata();
        const auto found = metadata.find("containerd-namespace");
        return found == metadata.end() ? std::string()
                                       : std::string(found->second.data(), found->second.size());
    }

    /// Counts the call and asks the interceptor.
    grpc::Status begin(ServerContext& context, const std::string& method) {
        Interceptor interceptor;
        {
            const std::scoped_lock lock(mutex_);
            ++calls_[method];
            interceptor = interceptor_;
        }
        changed_.notify_all();
        return interceptor ? interceptor(context, method) : grpc::Status::OK;
    }

    /// A handler that runs `answer(ns, request, response)` under the lock.
    template <typename Answer>
    auto locked(std::string method, Answer answer) {
        return [this, method = std::move(method), answer = std::move(answer)](
                   ServerContext& context, const auto& request, auto& response) {
            if (grpc::Status status = begin(context, method); !status.ok()) return status;
            const std::scoped_lock lock(mutex_);
            return answer(namespace_of(context), request, response);
        };
    }

    void set_handlers() {
        server_.version.version = locked("Version", [](const auto&, const auto&, auto& response) {
            response.set_version("2.0.0");
            return grpc::Status::OK;
        });
        server_.introspection.plugins =
            locked("Plugins", [](const auto&, const auto&, auto& response) {
                introspection::Plugin& plugin = *response.add_plugins();
                plugin.set_type("io.containerd.snapshotter.v1");
                plugin.set_id("overlayfs");
                return grpc::Status::OK;
            });
        server_.namespaces.get =
            locked("Namespaces.Get",
                   [](const auto&, const auto&, auto&) -> grpc::Status { return not_found(); });
        server_.namespaces.list =
            locked("Namespaces.List", [this](const auto&, const auto&, auto& response) {
                std::set<std::string> all;
                for (const auto& [key, image] : images_) all.insert(key.first);
                for (const std::string& ns : all) response.add_namespaces()->set_name(ns);
                return grpc::Status::OK;
            });
        server_.snapshots.list =
            locked("Snapshots.List", [this](const std::string& ns, const auto&, auto& stream) {
                snapshots::ListSnapshotsResponse response;
                for (const auto& [key, info] : snapshots_) {
                    if (key.first == ns) *response.add_info() = info;
                }
                stream.Write(response);
                return grpc::Status::OK;
            });
        server_.containers.list =
            locked("Containers.List", [this](const std::string& ns, const auto&, auto& response) {
                for (const auto& [key, container] : containers_) {
                    if (key.first == ns) *response.add_containers() = container;
                }
                return grpc::Status::OK;
            });
        server_.containers.get = locked(
            "Containers.Get", [this](const std::string& ns, const auto& request, auto& response) {
                const auto found = containers_.find({ns, request.id()});
                if (found == containers_.end()) return not_found();
                *response.mutable_container() = found->second;
                return grpc::Status::OK;
            });
        server_.tasks.list =
            locked("Tasks.List", [this](const std::string& ns, const auto&, auto& response) {
                for (const Key& key : started_) {
                    if (key.first != ns) continue;
                    auto& task = *response.add_tasks();
                    task.set_id(key.second);
                    task.set_status(::containerd::v1::types::RUNNING);
                }
                return grpc::Status::OK;
            });
        set_lease_handlers();
        set_image_handlers();
        set_content_handlers();
        set_event_handlers();
    }

    void set_lease_handlers() {
        server_.leases.create =
            locked("Leases.Create", [this](const std::string& ns, const auto& request, auto&) {
                const Lease lease{.labels = {request.labels().begin(), request.labels().end()},
                                  .resources = {}};
                const bool is_new = leases_.emplace(Key(ns, request.id()), lease).second;
                return is_new ? grpc::Status::OK
                              : grpc::Status(grpc::StatusCode::ALREADY_EXISTS, "exists");
            });
        server_.leases.list =
            locked("Leases.List", [this](const std::string& ns, const auto&, auto& response) {
                for (const auto& [key, lease] : leases_) {
                    if (key.first != ns) continue;
                    leases::Lease& wire = *response.add_leases();
                    wire.set_id(key.second);
                    wire.mutable_labels()->insert(lease.labels.begin(), lease.labels.end());
                }
                return grpc::Status::OK;
            });
        server_.leases.remove =
            locked("Leases.Delete", [this](const std::string& ns, const auto& request, auto&) {
                return leases_.erase({ns, request.id()}) == 0 ? not_found() : grpc::Status::OK;
            });
        server_.leases.add_resource =
            locked("Leases.AddResource", [this](const std::string& ns, const auto& request, auto&) {
                const auto found = leases_.find({ns, request.id()});
                if (found == leases_.end()) return not_found();
                found->second.resources.insert(request.resource().id());
                return grpc::Status::OK;
            });
        server_.leases.remove_resource = locked(
            "Leases.DeleteResource", [this](const std::string& ns, const auto& request, auto&) {
                const auto found = leases_.find({ns, request.id()});
                if (found == leases_.end()) return not_found();
                found->second.resources.erase(request.resource().id());
                return grpc::Status::OK;
            });
    }

    void set_cri_handlers() {
        server_.runtime.version =
            locked("Cri.Version", [](const auto&, const auto&, auto&) { return grpc::Status::OK; });
        server_.runtime.status =
            locked("Cri.Status", [](const auto&, const auto&, auto&) { return grpc::Status::OK; });
        server_.image_service.image_fs_info = locked(
            "Cri.ImageFsInfo", [](const auto&, const auto&, auto&) { return grpc::Status::OK; });
        server_.image_service.list_images =
            locked("Cri.ListImages", [this](const auto&, const auto&, auto& response) {
                for (const auto& [key, image] : images_) {
                    if (key.first != "k8s.io" || !key.second.starts_with("sha256:")) continue;
                    cri::Image& wire = *response.add_images();
                    wire.set_id(key.second);
                    for (const auto& [other, named] : images_) {
                        if (named.target().digest() != image.target().digest()) continue;
                        const auto pin = named.labels().find("io.cri-containerd.pinned");
                        const bool is_pinned = pin != named.labels().end();
                        wire.set_pinned(wire.pinned() || (is_pinned && !ignores_pins_));
                        wire.add_repo_tags(other.second);
                    }
                }
                return grpc::Status::OK;
            });
    }

    void set_image_handlers() {
        server_.images.list =
            locked("Images.List", [this](const std::string& ns, const auto&, auto& response) {
                for (const auto& [key, image] : images_) {
                    if (key.first == ns) *response.add_images() = image;
                }
                return grpc::Status::OK;
            });
        server_.images.get = locked(
            "Images.Get", [this](const std::string& ns, const auto& request, auto& response) {
                const auto found = images_.find({ns, request.name()});
                if (found == images_.end()) return not_found();
                *response.mutable_image() = found->second;
                return grpc::Status::OK;
            });
        server_.images.create = locked(
            "Images.Create", [this](const std::string& ns, const auto& request, auto& response) {
                const images::Image& image = request.image();
                if (!images_.emplace(Key(ns, image.name()), image).second) {
                    return grpc::Status(grpc::StatusCode::ALREADY_EXISTS, "exists");
                }
                *response.mutable_image() = image;
                deliver("/images/create", ns, event_about<images::ImageCreate>(image));
                return grpc::Status::OK;
            });
        server_.images.update = locked(
            "Images.Update", [this](const std::string& ns, const auto& request, auto& response) {
                const auto found = images_.find({ns, request.image().name()});
                if (found == images_.end()) return not_found();
                update(request, found->second);
                *response.mutable_image() = found->second;
                deliver("/images/update", ns, event_about<images::ImageUpdate>(found->second));
                return grpc::Status::OK;
            });
        server_.images.remove =
            locked("Images.Delete", [this](const std::string& ns, const auto& request, auto&) {
                if (images_.erase({ns, request.name()}) == 0) return not_found();
                images::ImageDelete payload;
                payload.set_name(request.name());
                deliver("/images/delete", ns, payload);
                return grpc::Status::OK;
            });
    }

    static void update(const images::UpdateImageRequest& request, images::Image& image) {
        constexpr std::string_view kLabels = "labels.";
        for (const std::string& path : request.update_mask().paths()) {
            if (path == "target") *image.mutable_target() = request.image().target();
            if (!path.starts_with(kLabels)) continue;
            const std::string key = path.substr(kLabels.size());
            const auto wanted = request.image().labels().find(key);
            if (wanted == request.image().labels().end() || wanted->second.empty()) {
                image.mutable_labels()->erase(key);
            } else {
                (*image.mutable_labels())[key] = wanted->second;
            }
        }
    }

    void set_content_handlers() {
        server_.content.info = locked(
            "Content.Info", [this](const std::string& ns, const auto& request, auto& response) {
                const auto found = blobs_.find({ns, request.digest()});
                if (found == blobs_.end()) return not_found();
                describe(*found, *response.mutable_info());
                return grpc::Status::OK;
            });
        server_.content.list =
            locked("Content.List", [this](const std::string& ns, const auto&, auto& stream) {
                content::ListContentResponse response;
                for (const auto& blob : blobs_) {
                    if (blob.first.first == ns) describe(blob, *response.add_info());
                }
                stream.Write(response);
                return grpc::Status::OK;
            });
        server_.content.read = locked(
            "Content.Read", [this](const std::string& ns, const auto& request, auto& stream) {
                const auto found = blobs_.find({ns, request.digest()});
                if (found == blobs_.end()) return not_found();
                content::ReadContentResponse response;
                response.set_data(
                    found->second.bytes.substr(static_cast<std::size_t>(request.offset())));
                stream.Write(response);
                return grpc::Status::OK;
            });
    }

    static void describe(const std::pair<const Key, Blob>& blob, content::Info& info) {
        info.set_digest(blob.first.second);
        info.set_size(static_cast<std::int64_t>(blob.second.bytes.size()));
        info.mutable_labels()->insert(blob.second.labels.begin(), blob.second.labels.end());
    }

    void set_event_handlers() {
        server_.events.publish =
            locked("Events.Publish", [this](const std::string& ns, const auto& request, auto&) {
                deliver(request.topic(), ns, request.event());
                return grpc::Status::OK;
            });
        server_.events.subscribe = [this](ServerContext& context, const auto&, auto& stream) {
            if (grpc::Status status = begin(context, "Events.Subscribe"); !status.ok()) {
                return status;
            }
            std::unique_lock lock(mutex_);
            const auto queue = subscribers_.emplace(subscribers_.end());
            while (!context.IsCancelled()) {
                changed_.wait_for(lock, kCancellationPoll, [&] { return !queue->empty(); });
                Queue waiting;
                waiting.swap(*queue);
                lock.unlock();
                for (const events::Envelope& envelope : waiting) stream.Write(envelope);
                lock.lock();
            }
            subscribers_.erase(queue);
            return grpc::Status::CANCELLED;
        };
    }

    void put_snapshot(const std::string& ns, const std::string& name, const std::string& parent,
                      snapshots::Kind kind) {
        snapshots::Info& info = snapshots_[{ns, name}];
        info.set_name(name);
        info.set_parent(parent);
        info.set_kind(kind);
        *info.mutable_created_at() = to_timestamp(std::chrono::system_clock::now());
    }

    template <typename Payload>
    static Payload event_about(const images::Image& image) {
        Payload payload;
        payload.set_name(image.name());
        *payload.mutable_labels() = image.labels();
        return payload;
    }
    /// containerd writes the type's name without a prefix.
    template <typename Payload>
    void deliver(const std::string& topic, const std::string& ns, const Payload& payload) {
        google::protobuf::Any event;
        event.set_type_url(payload.GetDescriptor()->full_name());
        event.set_value(payload.SerializeAsString());
        deliver(topic, ns, event);
    }
    void deliver(const std::string& topic, const std::string& ns,
                 const google::protobuf::Any& event) {
        events::Envelope envelope;
        envelope.set_topic(topic);
        envelope.set_namespace_(ns);
        *envelope.mutable_event() = event;
        *envelope.mutable_timestamp() = to_timestamp(std::chrono::system_clock::now());
        for (Queue& queue : subscribers_) queue.push_back(envelope);
        changed_.notify_all();
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    Interceptor interceptor_;
    std::map<std::string, std::size_t> calls_;
    std::map<Key, images::Image> images_;
    std::map<Key, containers::Container> containers_;
    std::set<Key> started_;
    bool ignores_pins_ = false;
    std::map<Key, Blob> blobs_;
    std::map<Key, snapshots::Info> snapshots_;
    std::map<Key, Lease> leases_;  ///< by namespace and id
    std::list<Queue> subscribers_;
    Containerd server_;  // last: its threads use the rest
};

}  // namespace prebake::containerd::fake
