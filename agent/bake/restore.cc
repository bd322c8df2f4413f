#include "agent/bake/restore.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "agent/bake/fetch.h"
#include "agent/bake/image_baker.h"
#include "agent/bake/lease.h"
#include "agent/bake/recorded_image.h"
#include "agent/bake/session.h"
#include "agent/bake/unpack.h"
#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/worker_pool.h"
#include "agent/containerd/containers.h"
#include "agent/store/record.h"

namespace prebake::bake {
namespace {

/// Nothing comes over a network here: these adopt blobs, and copy them where adopting is forbidden.
constexpr std::size_t kParallelCopies = 2;

/// The registry of a machine that has only its own disk.
class NoNetwork final : public http::Client {
  public:
    std::unique_ptr<http::Response> send(const http::Request& /*request*/,
                                         const std::stop_token& /*stop*/) override {
        throw Error(Errc::not_found, "not on this disk");
    }
};

class NoCredentials final : public registry::CredentialSource {
  public:
    std::optional<registry::Credentials> find(std::string_view /*registry*/) override { return {}; }
};

/// One placement of the image, and what is there of it.
struct Part {
    ResolvedImage image;
    std::vector<oci::Digest> lost_layers;  ///< wanted, and in no namespace
    bool is_usable = true;                 ///< without them
};

std::vector<Part> parts_of(const v1::BakedImage& image, const containerd::Connection& connection) {
    const ResolvedImage resolved = resolve_stored(image, connection);
    std::vector<Part> parts;
    for (const v1::Placement& placement : image.placements()) {
        Part& part = parts.emplace_back(Part{.image = resolved, .lost_layers = {}});
        part.image.request = request_of(image, placement);
        if (part.image.request.unpack) continue;
        part.image.diff_ids.clear();
        part.image.chain_ids.clear();
    }
    return parts;
}

store::Snapshotters chosen(const v1::BakedImage& image, const store::Snapshotters& wanted,
                           const store::Storage& storage) {
    store::Snapshotters snapshotters = wanted;
    for (const v1::Placement& placement : image.placements()) {
        if (!placement.unpacked()) continue;
        const auto entry =
            snapshotters.try_emplace(placement.namespace_(), placement.snapshotter()).first;
        storage.require_snapshotter(entry->second);
    }
    return snapshotters;
}

bool is_anywhere(const oci::Digest& digest, const std::vector<std::string>& namespaces,
                 const containerd::Connection& connection) {
    return std::any_of(namespaces.begin(), namespaces.end(), [&](const std::string& ns) {
        const containerd::Content content(connection, {.ns = ns, .lease = {}});
        const auto info = content.info(digest);
        return info && content.is_readable(*info);
    });
}

void find_lost_layers(Part& part, const StoreContents& store,
                      const std::vector<std::string>& namespaces,
                      const containerd::Connection& connection) {
    const ImageRequest& request = part.image.request;
    for (const std::size_t i : layers_needed(part.image, store)) {
        const oci::Digest& layer = part.image.contents.layers[i].digest;
        if (store.has_blob(request, layer) || is_anywhere(layer, namespaces, connection)) continue;
        part.lost_layers.push_back(layer);
        if (request.unpack && store.has_snapshot(request, part.image.chain_ids[i])) continue;
        part.is_usable = false;
    }
}

class Restorer {
  public:
    Restorer(const v1::BakedImage& image, ImageBaker& baker) : image_(image), baker_(baker) {}

    /// Repairs what it can. @throws Error for the first part that it cannot repair.
    void run(std::vector<Part>& parts) {
        std::optional<Error> problem;
        for (Part& part : parts) {
            try {
                restore_part(part);
            } catch (const Error& error) {
                if (error.code() == Errc::cancelled || is_retryable(error.code())) throw;
                if (!problem) problem = error;
            }
        }
        if (problem) throw Error(*problem);
    }
    bool has_changed() const { return yield_.changed; }

  private:
    void restore_part(Part& part) {
        if (part.is_usable) {
            // What is unpacked can be used without its layers' blobs.
            if (!part.lost_layers.empty()) part.image.request.keep_layers = false;
            baker_.bake(part.image, yield_);
        }
        if (part.lost_layers.empty()) return;
        throw Error(Errc::not_found,
                    "layer " + part.lost_layers.front().str() + " of " + image_.name() +
                        " is not on this disk",
                    store::how_to_bake_again(image_, part.image.request.namespaces.front()));
    }

    const v1::BakedImage& image_;
    ImageBaker& baker_;
    ImageYield yield_;
};

/// Removes the lease; what cannot be removed now expires by itself.
void release(const BakeLease& lease, const Session& session, const std::string& image) {
    try {
        lease.release();
    } catch (const Error& error) {
        session.notice(image, "the lease of the repair is left to expire by itself in 24 hours: " +
                                  error.message());
    }
}

}  // namespace

Restoration restore(const v1::BakedImage& image, const store::Snapshotters& snapshotters,
                    const store::NameSet& pinned, const std::filesystem::path& state_dir,
                    const containerd::Connection& connection, EventSink& events) {
    const FileLock lock(state_dir / "bake.lock");
    store::Storage storage(containerd::plugins(connection));
    std::vector<Part> parts = parts_of(image, connection);
    Survey survey{.plan = {},
                  .store = {},
                  .storage = storage,
                  .snapshotters = chosen(image, snapshotters, storage),
                  .free_space = {},
                  .containerd_version = {}};
    const std::vector<std::string> everywhere = containerd::namespaces(connection);
    std::set<std::string> namespaces;
    for (Part& part : parts) {
        StoreContents held = look_up(part.image, survey.snapshotters, connection);
        find_lost_layers(part, held, everywhere, connection);
        survey.store.blobs.merge(held.blobs);
        survey.store.snapshots.merge(held.snapshots);
        namespaces.insert(part.image.request.namespaces.front());
    }

    registry::Remote remote(std::make_shared<NoNetwork>(), std::make_shared<NoCredentials>(),
                            {.retry = {.attempts = 1}, .on_retry = {}});
    // An owner of its own: the leases of interrupted bakes stay, to be resumed from.
    std::error_code is_odd;
    const std::filesystem::path canonical = std::filesystem::weakly_canonical(state_dir, is_odd);
    const BakeLease lease(connection, {namespaces.begin(), namespaces.end()},
                          (is_odd ? state_dir : canonical).string() + " (restore)");
    const Session session{.connection = connection,
                          .remote = remote,
                          .events = events,
                          .storage = survey.storage,
                          .lease = lease.id(),
                          .other_namespaces = everywhere,
                          .outlasts_restarts = false};
    DiffServiceApplier applier(session);
    Unpacker unpacker(session, applier);
    BlobFetcher fetcher(session);
    WorkerPool copies(kParallelCopies);
    ImageBaker baker(session, survey, pinned, MovedNames::leave, copies, fetcher, unpacker);
    Restorer restorer(image, baker);
    try {
        restorer.run(parts);
    } catch (const Error&) {
        release(lease, session, image.name());
        throw;
    }
    release(lease, session, image.name());
    return restorer.has_changed() || fetcher.has_changed() ? Restoration::restored
                                                           : Restoration::was_whole;
}

}  // namespace prebake::bake
