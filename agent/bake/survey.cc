#include "agent/bake/survey.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <system_error>
#include <utility>

#include "agent/bake/name_conflicts.h"
#include "agent/base/wait.h"
#include "agent/base/worker_pool.h"
#include "agent/store/placements.h"
#include "agent/store/store_view.h"

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
                                        const store::Storage& storage, const DockerTarget* docker) {
    store::Snapshotters chosen;
    for (const ImageRequest& request : requests) {
        if (!request.unpack) continue;
        for (const std::string& ns : request.namespaces) {
            if (chosen.contains(ns)) continue;
            std::string name = wanted;
            // Any other one would be of no use: dockerd looks nowhere else.
            if (docker != nullptr && is_for_docker(request) && ns == store::kDockerNamespace) {
                name = docker->info.driver;
            }
            if (name.empty()) name = store::snapshotter_of(ns, connection);
            storage.require_snapshotter(name);
            chosen.emplace(ns, name);
        }
    }
    return chosen;
}

/// Runs `work` for one image; an error becomes the image's problem.
void attempt(PlannedImage& planned, const std::function<void()>& work) {
    try {
        return work();
    } catch (const Error& error) {
        planned.problem = explained(planned.request, error);
    } catch (const std::exception& error) {
        planned.problem = explained(planned.request, Error(Errc::internal, error.what()));
    }
    planned.image.reset();
}

/// CRI may discard layers after unpacking. Of a sandbox image that it unpacked they are not
/// fetched.
void adopt_unpacked(ResolvedImage& image, const PresentContent& present) {
    if (image.chain_ids.empty()) return;
    const auto& layers = image.contents.layers;
    const bool has_layers = std::all_of(layers.begin(), layers.end(), [&](const auto& layer) {
        return present.has_blob(image.request, layer.digest);
    });
    if (has_layers || !present.has_snapshot(image.request, image.chain_ids.back())) return;
    image.request.keep_layers = false;
}

/// The documents that were fetched: the store does not have them, or has them damaged, which no
/// listing shows.
std::set<oci::Digest> fetched_documents(const std::vector<PlannedImage>& images,
                                        const DocumentCache& cache) {
    std::set<oci::Digest> fetched = cache.digests();
    for (const PlannedImage& planned : images) {
        if (!planned.image) continue;
        // Those that tags name are not in the cache.
        const auto add = [&](const oci::Document& document) {
            if (document.bytes_fetched > 0) fetched.insert(document.descriptor.digest);
        };
        std::for_each(planned.image->indexes.begin(), planned.image->indexes.end(), add);
        add(planned.image->manifest);
    }
    return fetched;
}

std::optional<std::uint64_t> free_engine_bytes(const DockerTarget* docker) {
    if (docker == nullptr || docker->info.uses_containerd_store) return std::nullopt;
    std::error_code problem;  // its directory is not visible from here
    const auto space = std::filesystem::space(docker->info.data_root, problem);
    if (problem) return std::nullopt;
    return space.available;
}

}  // namespace

Survey survey(const std::vector<ImageRequest>& requests, const std::string& snapshotter,
              registry::Remote& remote, const containerd::Connection& connection,
              const Admission& admission, const DockerTarget* docker, std::size_t width) {
    const std::string version = connection.version().version;
    store::StoreView store(connection);
    store::Snapshotters snapshotters =
        choose_snapshotters(requests, snapshotter, connection, store.storage(), docker);

    std::vector<PlannedImage> images(requests.size());
    DocumentCache cache;
    for_each_parallel(requests.size(), width, [&](std::size_t i) {
        images[i].request = requests[i];
        attempt(images[i], [&] {
            images[i].image = resolve(requests[i], remote, connection, cache);
            admit(*images[i].image, admission, remote, connection, cache);
        });
    });
    throw_if_stopped(connection.stop());

    PresentContent present;
    for (PlannedImage& planned : images) {
        if (!planned.image) continue;
        attempt(planned, [&] {
            look_up(*planned.image, snapshotters, store, present);
            if (!planned.request.in_graph_driver) return;
            if (!is_in_engine(*planned.image, docker->engine)) return;
            present.in_engine.emplace(planned.image->name(), planned.request.platform->str());
        });
        if (planned.image && planned.request.is_sandbox) adopt_unpacked(*planned.image, present);
    }
    const std::set<oci::Digest> fetched = fetched_documents(images, cache);
    std::erase_if(present.blobs,
                  [&](const auto& blob) { return fetched.contains(blob.first.second); });
    throw_if_stopped(connection.stop());
    mark_name_conflicts(images);

    Plan plan = make_plan(std::move(images), present);
    const auto free_space = store.storage().free_space(names_of(snapshotters));
    return Survey{.plan = std::move(plan),
                  .present = std::move(present),
                  .storage = store.storage(),
                  .snapshotters = std::move(snapshotters),
                  .free_space = free_space,
                  .containerd_version = version,
                  .docker = docker == nullptr ? std::nullopt : std::optional(docker->info),
                  .free_engine_bytes = free_engine_bytes(docker),
                  .rate_limits = remote.rate_limits()};
}

}  // namespace prebake::bake
