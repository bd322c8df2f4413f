#include "agent/containerd/images.h"

#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/call.h"
#include "agent/containerd/wire.h"
#include "proto/containerd/images.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace images_api = ::containerd::services::images::v1;

/// In one put(): another client may create the name before our Create and remove it before our
/// Update. More often than this in a row is no coincidence.
constexpr int kPutAttempts = 5;

Image image_from(const images_api::Image& wire) {
    return Image{.name = wire.name(),
                 .labels = labels_from(wire.labels()),
                 .target = descriptor_from(wire.target())};
}

}  // namespace

Images::Images(const Connection& connection, Scope scope)
    : connection_(connection), scope_(std::move(scope)) {}

std::optional<Image> Images::get(const std::string& name) const {
    const std::string what = "read the image " + name;
    images_api::GetImageRequest request;
    request.set_name(name);
    images_api::GetImageResponse response;
    const grpc::Status status = invoke(connection_, scope_, &images_api::Images::Stub::Get, request,
                                       response, kReadTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return {};
    check(status, connection_, what);
    return in_context("cannot " + what, [&] { return image_from(response.image()); });
}

std::vector<Image> Images::list() const {
    images_api::ListImagesResponse response;
    check(invoke(connection_, scope_, &images_api::Images::Stub::List,
                 images_api::ListImagesRequest(), response, kReadTimeout),
          connection_, "list the images of namespace " + scope_.ns);
    std::vector<Image> images;
    for (const images_api::Image& wire : response.images()) {
        try {
            images.push_back(image_from(wire));
        } catch (const Error& error) {
            // A record with a target that containerd's own store cannot hold (sha512) is not ours.
            // List the others.
            if (error.code() != Errc::unsupported) throw;
        }
    }
    return images;
}

void Images::put(const Image& image) const {
    const std::string what = "name the image " + image.name;
    images_api::CreateImageRequest create;
    create.mutable_image()->set_name(image.name);
    descriptor_to(image.target, *create.mutable_image()->mutable_target());
    images_api::UpdateImageRequest update;
    *update.mutable_image() = create.image();
    labels_to(image.labels, *update.mutable_image()->mutable_labels());
    update.mutable_update_mask()->add_paths("target");
    add_label_paths(image.labels, *update.mutable_update_mask());
    for (const auto& [key, value] : image.labels) {
        if (!value.empty()) (*create.mutable_image()->mutable_labels())[key] = value;
    }

    for (int attempt = 0; attempt < kPutAttempts; ++attempt) {
        images_api::CreateImageResponse created;
        const grpc::Status status = invoke(connection_, scope_, &images_api::Images::Stub::Create,
                                           create, created, kWriteTimeout);
        if (status.error_code() != grpc::StatusCode::ALREADY_EXISTS) {
            return check(status, connection_, what);
        }
        images_api::UpdateImageResponse updated;
        const grpc::Status again = invoke(connection_, scope_, &images_api::Images::Stub::Update,
                                          update, updated, kWriteTimeout);
        if (again.error_code() != grpc::StatusCode::NOT_FOUND)
            return check(again, connection_, what);
    }
    throw Error(Errc::conflict, "cannot " + what + ": another client keeps removing it");
}

bool Images::set_labels(const std::string& name, const Labels& labels) const {
    images_api::UpdateImageRequest request;
    request.mutable_image()->set_name(name);
    // The mask excludes the target, but without one containerd 1.7 and 2.x crash.
    request.mutable_image()->mutable_target();
    labels_to(labels, *request.mutable_image()->mutable_labels());
    add_label_paths(labels, *request.mutable_update_mask());
    images_api::UpdateImageResponse response;
    const grpc::Status status = invoke(connection_, scope_, &images_api::Images::Stub::Update,
                                       request, response, kWriteTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return false;
    check(status, connection_, "label the image " + name);
    return true;
}

void Images::remove(const std::string& name) const {
    images_api::DeleteImageRequest request;
    request.set_name(name);
    google::protobuf::Empty response;
    const grpc::Status status = invoke(connection_, scope_, &images_api::Images::Stub::Delete,
                                       request, response, kWriteTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return;
    check(status, connection_, "remove the image " + name);
}

}  // namespace prebake::containerd
