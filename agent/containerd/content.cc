#include "agent/containerd/content.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/call.h"
#include "agent/containerd/content_writer.h"
#include "agent/containerd/in_place_writer.h"
#include "agent/containerd/read_stream.h"
#include "agent/containerd/wire.h"
#include "proto/containerd/content.grpc.pb.h"

namespace prebake::containerd {
namespace {

namespace content_api = ::containerd::services::content::v1;

BlobInfo info_from(const content_api::Info& wire) {
    return BlobInfo{.digest = digest_from(wire.digest()),
                    .size = static_cast<std::uint64_t>(wire.size()),
                    .labels = labels_from(wire.labels()),
                    .created_at = time_from(wire.created_at())};
}

std::optional<content_api::Info> look_up(const Connection& connection, const Scope& scope,
                                         const oci::Digest& digest) {
    content_api::InfoRequest request;
    request.set_digest(digest.str());
    content_api::InfoResponse response;
    const grpc::Status status = invoke(connection, scope, &content_api::Content::Stub::Info,
                                       request, response, kReadTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return {};
    check(status, connection, "look up the blob " + digest.str());
    return response.info();
}

class BlobSource final : public Source {
  public:
    BlobSource(const Connection& connection, const Scope& scope, const oci::Digest& digest,
               std::uint64_t offset)
        : stream_(connection, scope, &content_api::Content::Stub::Read, request_for(digest, offset),
                  "read the blob " + digest.str()) {}

    std::size_t read(std::span<std::byte> buffer) override {
        std::size_t filled = 0;
        while (filled < buffer.size()) {
            if (used_ == message_.data().size()) {
                used_ = 0;
                message_.clear_data();
                if (!stream_.next(message_)) break;
                continue;
            }
            const std::size_t count =
                std::min(buffer.size() - filled, message_.data().size() - used_);
            std::memcpy(buffer.data() + filled, message_.data().data() + used_, count);
            filled += count;
            used_ += count;
        }
        return filled;
    }

  private:
    static content_api::ReadContentRequest request_for(const oci::Digest& digest,
                                                       std::uint64_t offset) {
        content_api::ReadContentRequest request;
        request.set_digest(digest.str());
        request.set_offset(static_cast<std::int64_t>(offset));
        return request;
    }

    ReadStream<content_api::Content::Stub, content_api::ReadContentResponse> stream_;
    content_api::ReadContentResponse message_;
    std::size_t used_ = 0;
};

}  // namespace

Content::Content(const Connection& connection, Scope scope)
    : connection_(connection), scope_(std::move(scope)) {}

std::optional<BlobInfo> Content::info(const oci::Digest& digest) const {
    const auto info = look_up(connection_, scope_, digest);
    return info ? std::optional(info_from(*info)) : std::nullopt;
}

std::optional<std::chrono::system_clock::time_point> Content::touched_at(
    const oci::Digest& digest) const {
    const auto info = look_up(connection_, scope_, digest);
    return info ? std::optional(time_from(info->updated_at())) : std::nullopt;
}

std::vector<BlobInfo> Content::list() const {
    ReadStream<content_api::Content::Stub, content_api::ListContentResponse> stream(
        connection_, scope_, &content_api::Content::Stub::List, content_api::ListContentRequest(),
        "list the blobs of namespace " + scope_.ns);
    std::vector<BlobInfo> blobs;
    content_api::ListContentResponse part;
    while (stream.next(part)) {
        for (const content_api::Info& wire : part.info()) {
            try {
                blobs.push_back(info_from(wire));
            } catch (const Error& error) {
                // A blob with another algorithm than sha256 is not ours. List the others.
                if (error.code() != Errc::unsupported) throw;
            }
        }
    }
    return blobs;
}

std::unique_ptr<Source> Content::read(const oci::Digest& digest, std::uint64_t offset) const {
    return std::make_unique<BlobSource>(connection_, scope_, digest, offset);
}

std::string Content::read_all(const oci::Digest& digest, std::size_t limit) const {
    BlobSource source(connection_, scope_, digest, 0);
    auto bytes = read_up_to(source, limit);
    if (bytes) return *std::move(bytes);
    throw Error(Errc::too_large,
                "the blob " + digest.str() + " is larger than " + std::to_string(limit) + " bytes");
}

bool Content::is_readable(const BlobInfo& blob) const {
    if (blob.size == 0) return true;
    std::array<std::byte, 1> last{};
    try {
        return read(blob.digest, blob.size - 1)->read(last) == last.size();
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) throw;
        return false;
    }
}

void Content::remove(const oci::Digest& digest) const {
    content_api::DeleteContentRequest request;
    request.set_digest(digest.str());
    google::protobuf::Empty response;
    const grpc::Status status = invoke(connection_, scope_, &content_api::Content::Stub::Delete,
                                       request, response, kWriteTimeout);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return;
    check(status, connection_, "delete the blob " + digest.str());
}

void Content::set_labels(const oci::Digest& digest, const Labels& labels) const {
    set_blob_labels(connection_, scope_, digest, labels);
}

IngestTarget Content::target(std::string ref, const oci::Descriptor& blob) const {
    return IngestTarget{.connection = connection_,
                        .scope = scope_,
                        .ref = std::move(ref),
                        .digest = blob.digest,
                        .size = blob.size};
}

std::unique_ptr<BlobWriter> Content::open_writer(const std::string& ref,
                                                 const oci::Descriptor& blob) const {
    IngestTarget target = this->target(ref, blob);
    OpenedStream opened = open_stream(connection_, scope_, opening_request(target));
    if (opened.status.error_code() == grpc::StatusCode::ALREADY_EXISTS) return nullptr;
    require_opened(target, opened);
    const auto offset = static_cast<std::uint64_t>(opened.response.offset());
    return std::make_unique<StreamWriter>(std::move(target), std::move(opened.stream), offset);
}

std::unique_ptr<BlobWriter> Content::open_writer(const oci::Descriptor& blob,
                                                 const IngestDirectory& directory) const {
    if (blob.size < kLeastInPlaceBytes || directory.obstacle()) {
        return open_writer(ingest_ref(blob), blob);
    }
    return open_in_place(target(in_place_ref(blob.digest), blob), directory);
}

void Content::abort(const std::string& ref) const {
    abort_ingest(connection_, scope_, ref);
}

void Content::put(const std::string& ref, const oci::Descriptor& blob, std::string_view bytes,
                  const Labels& labels) const {
    if (bytes.size() > kWriteMessageBytes) {
        // Larger than one message: an ordinary writer, which resumes an earlier attempt.
        const auto writer = open_writer(ref, blob);
        if (!writer) return set_labels(blob.digest, labels);
        const std::size_t held = std::min<std::size_t>(writer->offset(), bytes.size());
        writer->write(std::as_bytes(std::span(bytes)).subspan(held));
        return writer->commit(labels);
    }
    const IngestTarget target = this->target(ref, blob);
    // Offset 0 also discards the bytes of an unfinished ingest of this reference.
    content_api::WriteContentRequest request = opening_request(target);
    request.set_action(content_api::COMMIT);
    request.set_data(bytes.data(), bytes.size());
    labels_to(labels, *request.mutable_labels());
    OpenedStream opened = open_stream(connection_, scope_, request);
    finish_commit(target, opened.stream ? opened.stream->finish() : opened.status, labels);
}

std::string ingest_ref(const oci::Descriptor& descriptor) {
    const auto name = descriptor.annotations.find("org.opencontainers.image.ref.name");
    const std::string key = name == descriptor.annotations.end()
                                ? descriptor.digest.str()
                                : name->second + "@" + descriptor.digest.str();
    switch (oci::media_kind(descriptor.media_type)) {
        case oci::MediaKind::index:
            return "index-" + key;
        case oci::MediaKind::manifest:
            return "manifest-" + key;
        case oci::MediaKind::config:
            return "config-" + key;
        case oci::MediaKind::layer_tar:
        case oci::MediaKind::layer_gzip:
        case oci::MediaKind::layer_zstd:
        case oci::MediaKind::foreign_layer:
            return "layer-" + key;
        case oci::MediaKind::schema1:
        case oci::MediaKind::other:
            return "unknown-" + key;
    }
    return "unknown-" + key;
}

}  // namespace prebake::containerd
