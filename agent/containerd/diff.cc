#include "agent/containerd/diff.h"

#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/call.h"
#include "agent/containerd/wire.h"
#include "proto/containerd/diff.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace diff_api = ::containerd::services::diff::v1;

/// containerd before 2.0 does not know Docker's media type of a zstd layer; all versions know the
/// OCI type of the same bytes. The descriptor of the request may differ from the manifest's.
std::string media_type_for_apply(const std::string& media_type) {
    if (media_type == "application/vnd.docker.image.rootfs.diff.tar.zstd") {
        return "application/vnd.oci.image.layer.v1.tar+zstd";
    }
    return media_type;
}

}  // namespace

Diff::Diff(const Connection& connection, Scope scope)
    : connection_(connection), scope_(std::move(scope)) {}

oci::Digest Diff::apply(const oci::Descriptor& layer, const std::vector<Mount>& mounts) const {
    const std::string what = "unpack the layer " + layer.digest.str();
    diff_api::ApplyRequest request;
    descriptor_to(layer, *request.mutable_diff());
    request.mutable_diff()->set_media_type(media_type_for_apply(layer.media_type));
    for (const Mount& mount : mounts) {
        auto& wire = *request.add_mounts();
        wire.set_type(mount.type);
        wire.set_source(mount.source);
        wire.set_target(mount.target);
        wire.mutable_options()->Assign(mount.options.begin(), mount.options.end());
    }
    request.set_sync_fs(true);
    diff_api::ApplyResponse response;
    const grpc::Status status =
        invoke(connection_, scope_, &diff_api::Diff::Stub::Apply, request, response, std::nullopt);
    if (!status.ok()) {
        const Error error = error_of(status, connection_, what);
        // A broken layer and a media type without a processor lead to the same code. The type is
        // checked only now, because a site may have processors for types that we do not know.
        if (error.code() != Errc::io) throw Error(error);
        if (is_layer(oci::media_kind(layer.media_type)))
            throw Error(Errc::corrupt, error.message());
        throw Error(Errc::unsupported,
                    error.message() + " (media type '" + layer.media_type + "')");
    }
    return in_context("cannot " + what, [&] { return digest_from(response.applied().digest()); });
}

}  // namespace prebake::containerd
