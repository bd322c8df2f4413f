#include "agent/bake/bake.h"

#include <algorithm>
#include <set>

#include "agent/bake/admission.h"
#include "agent/bake/blob_repositories.h"
#include "agent/bake/engine_baker.h"
#include "agent/bake/fetch.h"
#include "agent/bake/image_baker.h"
#include "agent/bake/layer_source.h"
#include "agent/bake/lease.h"
#include "agent/bake/leased_store.h"
#include "agent/bake/name_conflicts.h"
#include "agent/bake/recorded_image.h"
#include "agent/bake/timed.h"
#include "agent/bake/unpack.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/timestamp.h"
#include "agent/base/wait.h"
#include "agent/base/worker_pool.h"
#include "agent/containerd/cri.h"
#include "agent/containerd/in_place_writer.h"
#include "agent/oci/platform.h"
#include "agent/store/names.h"
#include "agent/store/placements.h"
#include "agent/store/record.h"
#include "agent/store/stored_image.h"

namespace prebake::bake {
namespace {

using Clock = std::chrono::steady_clock;

/// What an interrupted bake has written, or reserved, for layers that this one resumes.
std::uint64_t space_of_ingests(const Survey& survey) {
    const auto content_root = survey.storage.content_directory();
    if (!content_root) return 0;
    std::set<std::pair<std::string, oci::Digest>> counted;
    std::uint64_t bytes = 0;
    for (const PlannedImage& planned : survey.plan.images) {
        if (!planned.image) continue;
        for (const std::string& ns : planned.request.namespaces) {
            for (const oci::Descriptor& layer : planned.image->contents.layers) {
                if (!counted.emplace(ns, layer.digest).second) continue;
                bytes += std::min(layer.size,
                                  containerd::space_of_ingest(
                                      *content_root, ns, containerd::in_place_ref(layer.digest)));
            }
        }
    }
    return bytes;
}

bool goes_into_engine(const Survey& survey) {
    return survey.docker && !survey.docker->uses_containerd_store;
}

void require_space(const Survey& survey) {
    std::set<std::string> snapshotters;
    for (const auto& [ns, snapshotter] : survey.snapshotters) snapshotters.insert(snapshotter);
    const Plan& plan = survey.plan;
    const auto require = [&](const std::string& what, std::uint64_t least, const char* whose,
                             std::uint64_t available) {
        if (available >= least) return;
        throw Error(Errc::no_space,
                    "the bake needs at least " + std::to_string(least >> 20) + " MiB of disk for " +
                        what + ", and " + whose + " disk has " + std::to_string(available >> 20) +
                        " MiB left",
                    "make the disk larger, shorten the list, or try anyway with --no-space-check");
    };
    if (survey.free_engine_bytes) {
        require("unpacked layers", plan.engine_bytes, "dockerd's", *survey.free_engine_bytes);
    }
    // Again: what an earlier bake left was removed since the survey.
    auto measured = survey.storage.free_space({snapshotters.begin(), snapshotters.end()});
    if (!measured) return;
    store::FreeSpace& free = *measured;
    free.content_bytes += space_of_ingests(survey);
    const std::uint64_t content = plan.bytes_to_fetch - plan.engine_bytes;
    constexpr const char* kWhose = "containerd's";
    if (free.on_one_disk) {
        require("content and snapshots", content + plan.least_snapshot_bytes, kWhose,
                free.content_bytes);
    } else {
        require("content", content, kWhose, free.content_bytes);
        require("snapshots", plan.least_snapshot_bytes, kWhose, free.snapshot_bytes);
    }
}

std::vector<std::string> namespaces_of(const Plan& plan) {
    std::set<std::string> namespaces;
    for (const PlannedImage& planned : plan.images) {
        namespaces.insert(planned.request.namespaces.begin(), planned.request.namespaces.end());
    }
    return {namespaces.begin(), namespaces.end()};
}

BlobRepositories repositories_of(const Plan& plan) {
    BlobRepositories repositories;
    for (const PlannedImage& planned : plan.images) {
        if (planned.image) add_repository(repositories, *planned.image);
    }
    return repositories;
}

std::vector<v1::Placement> placements_of(const ResolvedImage& image, const Survey& survey,
                                         const ImageChanges& changes) {
    std::vector<v1::Placement> placements;
    for (const std::string& ns : image.request.namespaces) {
        v1::Placement placement;
        placement.set_namespace_(ns);
        for (std::string& name : names_in(ns, image)) {
            placement.add_names(std::move(name));
        }
        placement.set_pinned(image.request.pin);
        placement.set_layers_kept(image.request.keep_layers || !image.request.unpack);
        placement.set_unpacked(image.request.unpack);
        if (image.request.unpack) placement.set_snapshotter(survey.snapshotters.at(ns));
        placement.set_cri_resolves(changes.cri_resolves && ns == store::kCriNamespace);
        placements.push_back(std::move(placement));
    }
    if (image.request.in_graph_driver) {
        v1::Placement& placement = placements.emplace_back();
        placement.set_namespace_(std::string(store::kDockerNamespace));
        placement.set_graph_driver(survey.docker->driver);
        placement.set_unpacked(true);
        for (const std::string& name : changes.engine_names) placement.add_names(name);
    }
    return placements;
}

v1::BakedImage record_entry(const ResolvedImage& image, const ImageResult& result,
                            const std::string& containerd_version,
                            const std::string& prebake_version) {
    v1::BakedImage entry = store::contents_of(image);
    entry.set_name(result.name);
    entry.set_platform(result.platform);
    entry.set_kind(recorded_kind(image.request.kind));
    entry.set_priority(image.request.priority);
    for (const v1::Placement& placement : result.placements) *entry.add_placements() = placement;
    for (const v1::Signature& signature : result.signatures) *entry.add_signatures() = signature;
    entry.set_bytes_fetched(result.bytes_fetched);
    entry.set_bytes_reused(result.bytes_reused);
    entry.set_seconds(result.seconds.count());
    // The node compares it, and when the work on the image began, with the times of blobs and names
    // to tell what the bake fetched from what was pulled.
    *entry.mutable_baked_at() = to_timestamp(result.ended_at);
    entry.set_prebake_version(prebake_version);
    entry.set_containerd_version(containerd_version);
    return entry;
}

/// Bakes one image; an error becomes part of its result.
ImageResult bake_one(const PlannedImage& planned, const Survey& survey,
                     const std::vector<ImageStore*>& stores, const std::stop_token& stop,
                     EventSink& events) {
    ImageResult result;
    result.name = name_of(planned.request);
    result.platform = planned.request.platform->str();
    result.is_sandbox = planned.request.is_sandbox;
    const Clock::time_point begin = Clock::now();
    ImageChanges changes;
    try {
        throw_if_stopped(stop);
        if (planned.problem) throw Error(*planned.problem);
        events.on_event({.kind = EventKind::image_begun,
                         .image = result.name,
                         .current = planned.bytes_present,
                         .total = planned.compressed_bytes});
        result.digest = planned.image->target.digest;
        for (const trust::Proof& proof : planned.image->proofs) {
            result.signatures.push_back(record_of(proof));
        }
        for (ImageStore* store : stores) store->bake(*planned.image, changes);
        result.outcome = changes.changed ? ImageOutcome::baked : ImageOutcome::already_there;
        result.placements = placements_of(*planned.image, survey, changes);
        result.bytes_reused =
            planned.compressed_bytes - std::min(planned.compressed_bytes, changes.bytes_fetched);
    } catch (const Error& error) {
        result.outcome =
            error.code() == Errc::cancelled ? ImageOutcome::interrupted : ImageOutcome::failed;
        result.problem = planned.problem ? error : explained(planned.request, error);
    } catch (const std::exception& error) {
        result.problem = explained(planned.request, Error(Errc::internal, error.what()));
    }
    result.bytes_fetched = changes.bytes_fetched;
    result.seconds = Clock::now() - begin;
    result.ended_at = std::chrono::system_clock::now();
    if (result.outcome == ImageOutcome::interrupted) return result;
    const bool is_good = result.outcome != ImageOutcome::failed;
    events.on_event({.kind = is_good ? EventKind::image_done : EventKind::image_failed,
                     .image = result.name,
                     .current = result.bytes_fetched,
                     .total = planned.compressed_bytes,
                     .message = result.problem ? result.problem->what() : ""});
    return result;
}

/// The image that a tag named before keeps its digest names and its pin: it may be in use.
void notice_moved_tag(const PlannedImage& planned, const v1::BakeRecord& record,
                      EventSink& events) {
    if (!planned.image) return;
    const std::string name = name_of(planned.request);
    const v1::BakedImage* before = store::find_image(record, name, planned.request.platform->str());
    const std::string target = planned.image->target.digest.str();
    if (before == nullptr || before->target().digest() == target) return;
    events.on_event(
        {.kind = EventKind::notice,
         .image = name,
         .message = "the tag has moved from " + before->target().digest() + " to " + target +
                    "; the names with the old digest stay until you remove them (ctr images rm)"});
}

/// Adds the usable images to the record and replaces its file.
void record_results(const Survey& survey, const BakeOptions& options,
                    const std::vector<ImageResult>& results, v1::BakeRecord record) {
    bool is_changed = false;
    bool is_for_pods = false;
    for (std::size_t i = 0; i < results.size(); ++i) {
        const ImageResult& result = results[i];
        if (result.placements.empty()) continue;
        v1::BakedImage entry = record_entry(*survey.plan.images[i].image, result,
                                            survey.containerd_version, options.prebake_version);
        const v1::BakedImage* before = store::find_image(record, result.name, result.platform);
        const bool is_same = before != nullptr && result.outcome == ImageOutcome::already_there &&
                             before->target().digest() == entry.target().digest();
        if (is_same) store::copy_cost(*before, entry);
        const auto& placements = entry.placements();
        is_for_pods |=
            std::any_of(placements.begin(), placements.end(),
                        [&](const auto& placement) { return store::is_for_cri(entry, placement); });
        store::merge_image(record, entry);
        is_changed = true;
    }
    if (!is_changed) return;
    *record.mutable_updated_at() = to_timestamp(std::chrono::system_clock::now());
    record.set_prebake_version(options.prebake_version);
    record.set_containerd_version(survey.containerd_version);
    if (options.leaves_sandbox_out && is_for_pods) {
        record.set_sandbox_left_out(*options.leaves_sandbox_out);
    }
    survey.storage.sync_content();
    // dockerd does not sync what it unpacks.
    if (goes_into_engine(survey)) OpenedFileSystem(survey.docker->data_root).sync();
    store::write_record(options.state_dir, record);
}

/// What CRI on this machine did not confirm of the usable images.
std::optional<Error> cri_doubt(const Survey& survey, const std::vector<ImageResult>& results,
                               const containerd::Connection& connection) {
    if (connection.stop().stop_requested()) return {};
    std::vector<const ImageResult*> unconfirmed;
    for (std::size_t i = 0; i < results.size(); ++i) {
        if (results[i].placements.empty()) continue;
        const ResolvedImage& image = *survey.plan.images[i].image;
        v1::BakedImage contents = store::contents_of(image);
        contents.set_kind(recorded_kind(image.request.kind));
        for (const v1::Placement& placement : results[i].placements) {
            if (!store::is_for_cri(contents, placement) || placement.cri_resolves()) continue;
            unconfirmed.push_back(&results[i]);
        }
    }
    if (unconfirmed.empty()) return {};
    const std::string images = counted(unconfirmed.size(), "image");
    const containerd::CriService cri = containerd::Cri(connection).service();
    const std::string on_the_node = "the daemon asks CRI on each node (condition CriResolves)";
    if (!cri.answers) {
        return Error(Errc::failed_precondition,
                     "containerd serves no CRI here, so it is not known whether pods find " +
                         images + " in k8s.io: " + cri.problem,
                     on_the_node + "; if this containerd is to run pods: " + cri.next_step);
    }
    const ImageResult& first = *unconfirmed.front();
    return Error(Errc::failed_precondition,
                 "CRI on this machine (" + oci::Platform::host().str() + ") does not find " +
                     first.name + " for " + first.platform +
                     (unconfirmed.size() == 1
                          ? ""
                          : " (and " + std::to_string(unconfirmed.size() - 1) + " more)") +
                     ": a pod on a machine like this one would pull",
                 on_the_node);
}

/// True if the next bake can resume what is stored of unfinished images.
bool worth_resuming(const std::vector<ImageResult>& results) {
    return std::any_of(results.begin(), results.end(), [](const ImageResult& result) {
        return result.outcome == ImageOutcome::interrupted ||
               (result.problem && is_retryable(result.problem->code()));
    });
}

void release(const BakeLease& lease, const std::vector<ImageResult>& results, EventSink& events) {
    const bool had_work = std::any_of(
        results.begin(), results.end(),
        [](const ImageResult& result) { return result.outcome != ImageOutcome::already_there; });
    // What is on the disk may become a machine image: it is to have what was baked, and no more.
    lease.release_or_tell(
        had_work ? containerd::Collection::awaited : containerd::Collection::later, "the bake", "",
        events);
}

}  // namespace

BakeResult bake(const BakeLock&, const Survey& survey, const BakeOptions& options,
                registry::Remote& remote, const containerd::Connection& connection,
                const DockerTarget* docker, EventSink& events) {
    const Clock::time_point begin = Clock::now();
    std::string record_notice;
    const v1::BakeRecord record = store::take_record(options.state_dir, record_notice);
    if (!record_notice.empty()) notice(events, "", record_notice);
    const std::vector<std::string> namespaces = namespaces_of(survey.plan);
    const std::string owner = std::filesystem::weakly_canonical(options.state_dir).string();
    remove_unfinished_trees(connection, namespaces, owner);
    if (options.space_check == SpaceCheck::refuse) require_space(survey);

    const std::vector<PlannedImage>& planned = survey.plan.images;
    const BakeLease lease(connection, namespaces, owner);
    const LeasedStore store(connection, survey.storage, events, lease.id(), OnRestart::resume);
    registry::BlobConnections connections(options.parallel_downloads, options.read_ahead_bytes);
    RegistryLayers registry(remote, connections);
    TimedLayers layers(registry, store.times());
    const BlobRepositories repositories = repositories_of(survey.plan);
    BlobFetcher fetcher(store, layers, events, repositories);
    DiffServiceApplier applier(store);
    // A tree may be begun for each layer that arrives, and for as many that are stored.
    WorkerPool unpacks(options.parallel_downloads + options.parallel_unpacks);
    Unpacker unpacker(store, fetcher, applier, unpacks, options.parallel_unpacks,
                      obstacle_to_writing_trees());
    WorkerPool downloads(options.parallel_downloads);
    const store::NameSet pinned = pinned_names(planned, record);
    const store::NameSet shared = shared_ids(planned, record);
    ImageBaker baker(store,
                     {.snapshotters = survey.snapshotters,
                      .present = survey.present,
                      .repositories = repositories,
                      .pinned = pinned,
                      .shared_ids = shared,
                      .moved_names = MovedNames::point_here,
                      .damaged_layers = DamagedLayers::fetch_again},
                     downloads, fetcher, unpacker);
    std::vector<ImageStore*> stores{&baker};
    std::optional<EngineBaker> engine;
    if (docker != nullptr) {
        stores.push_back(&engine.emplace(*docker, layers, events, connection.stop()));
    }

    events.on_event({.kind = EventKind::bake_begun,
                     .current = survey.plan.bytes_present,
                     .total = survey.plan.bytes_present + survey.plan.bytes_to_fetch,
                     .images = planned.size(),
                     .layers = survey.plan.layers,
                     .snapshots = survey.plan.snapshots});
    for (const PlannedImage& image : planned) notice_moved_tag(image, record, events);
    BakeResult result;
    result.images.resize(planned.size());
    for_each_parallel(planned.size(), options.parallel_images, [&](std::size_t i) {
        result.images[i] = bake_one(planned[i], survey, stores, connection.stop(), events);
    });
    result.stored_layers = {.in_place = fetcher.written_in_place(),
                            .streamed = fetcher.streamed(),
                            .streamed_because = store.in_place_obstacle()};
    result.unpacked = unpacker.counts();
    result.stage_seconds = store.times().seconds();
    try {
        record_results(survey, options, result.images, record);
    } catch (const Error& error) {
        result.record_problem = error.within("the images are baked, but not recorded");
    } catch (const std::exception& error) {
        result.record_problem = Error(
            Errc::internal, std::string("the images are baked, but not recorded: ") + error.what());
    }
    try {
        result.cri_doubt = cri_doubt(survey, result.images, connection);
    } catch (const Error& error) {
        result.cri_doubt = error.within("it is not known whether pods find the images");
    }
    if (!worth_resuming(result.images)) release(lease, result.images, events);
    result.seconds = Clock::now() - begin;
    return result;
}

}  // namespace prebake::bake
