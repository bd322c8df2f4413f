#include "agent/bake/survey.h"

#include <set>
#include <utility>

#include "agent/bake/name_conflicts.h"
#include "agent/base/wait.h"
#include "agent/base/worker_pool.h"
#include "agent/containerd/content.h"
#include "agent/containerd/cri.h"
#include "agent/containerd/introspection.h"
#include "agent/containerd/snapshots.h"
#include "agent/store/names.h"

namespace prebake::bake {
namespace {

std::vector<std::string> names_of(const store::Snapshotters& snapshotters) {
    std::set<std::string> names;
    for (const auto& [ns, name] : snapshotters) names.insert(name);
    return {names.begin(), names.end()};
}

store::Snapshotters choose_snapshotters(const std::vector<ImageRequest>& requests,
                                        const std::string& wanted,
                                        const containerd::Connection& connection,
                                        const store::Storage& storage) {
    store::Snapshotters chosen;
    for (const ImageRequest& request : requests) {
        if (!request.unpack) continue;
        for (const std::string& ns : request.namespaces) {
            if (chosen.contains(ns)) continue;
            const std::string name =
                wanted.empty() ? store::snapshotter_of(ns, connection) : wanted;
            storage.require_snapshotter(name);
            chosen.emplace(ns, name);
        }
    }
    return chosen;
}

}  // namespace

StoreContents look_up(const ResolvedImage& image, const store::Snapshotters& snapshotters,
                      const containerd::Connection& connection) {
    StoreContents held;
    std::vector<oci::Digest> blobs{image.manifest.descriptor.digest,
                                   image.config.descriptor.digest};
    for (const oci::Document& index : image.indexes) blobs.push_back(index.descriptor.digest);
    for (const oci::Descriptor& layer : image.contents.layers) blobs.push_back(layer.digest);
    for (const std::string& ns : image.request.namespaces) {
        const containerd::Scope scope{.ns = ns, .lease = {}};
        const containerd::Content content(connection, scope);
        for (const oci::Digest& digest : blobs) {
            const auto info = content.info(digest);
            if (info && content.is_readable(*info)) held.blobs.emplace(ns, digest);
        }
        if (image.chain_ids.empty()) continue;
        const containerd::Snapshots snapshots(connection, scope, snapshotters.at(ns));
        for (const oci::Digest& chain_id : image.chain_ids) {
            if (snapshots.stat(chain_id.str())) held.snapshots.emplace(ns, chain_id);
        }
    }
    return held;
}

Survey survey(const std::vector<ImageRequest>& requests, const std::string& snapshotter,
              registry::Remote& remote, const containerd::Connection& connection,
              std::size_t width) {
    const std::string version = connection.version().version;
    store::Storage storage(containerd::plugins(connection));
    store::Snapshotters snapshotters =
        choose_snapshotters(requests, snapshotter, connection, storage);

    std::vector<PlannedImage> images(requests.size());
    std::vector<StoreContents> held(requests.size());
    DocumentCache cache;
    for_each_parallel(requests.size(), width, [&](std::size_t i) {
        PlannedImage& planned = images[i];
        planned.request = requests[i];
        try {
            planned.image = resolve(requests[i], remote, connection, cache);
            held[i] = look_up(*planned.image, snapshotters, connection);
            return;
        } catch (const Error& error) {
            planned.problem = error;
        } catch (const std::exception& error) {
            planned.problem = Error(Errc::internal, error.what());
        }
        planned.image.reset();
    });
    throw_if_stopped(connection.stop());
    refuse_contradictions(images);

    StoreContents store;
    for (StoreContents& part : held) {
        store.blobs.merge(part.blobs);
        store.snapshots.merge(part.snapshots);
    }
    Plan plan = make_plan(std::move(images), store);
    const auto free_space = storage.free_space(names_of(snapshotters));
    return Survey{.plan = std::move(plan),
                  .store = std::move(store),
                  .storage = std::move(storage),
                  .snapshotters = std::move(snapshotters),
                  .free_space = free_space,
                  .containerd_version = version};
}

}  // namespace prebake::bake
