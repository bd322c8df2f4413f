#include "agent/hydrate/recorder.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/process.h"
#include "agent/containerd/images.h"
#include "agent/containerd/snapshots.h"
#include "agent/hydrate/layer_cache.h"
#include "agent/hydrate/merged_file.h"
#include "agent/hydrate/recorded_container.h"
#include "agent/hydrate/trace_check.h"
#include "agent/hydrate/traced_image.h"
#include "agent/oci/container_user.h"
#include "agent/store/snapshot_directories.h"
#include "agent/store/snapshot_view.h"
#include "agent/store/snapshotter.h"
#include "agent/store/stored_image.h"

namespace prebake::hydrate {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::chrono::milliseconds kReadyInterval{200};
constexpr std::chrono::seconds kReadyTimeLimit{10};  // of one run of the command
constexpr std::size_t kMaxUserFile = 4UL << 20;

std::string how_to_bake(const oci::Reference& reference, const std::string& ns) {
    return "prebake bake " + (ns == "k8s.io" ? "" : "-n " + ns + " ") + reference.str();
}

/// Names of an image in containerd: with its tag, or with its digest.
std::vector<std::string> names_for(const oci::Reference& reference) {
    std::vector<std::string> names{reference.str()};
    if (reference.digest) names.push_back(reference.name() + "@" + reference.digest->str());
    return names;
}

/// The uppermost first.
std::vector<std::filesystem::path> lower_directories(const containerd::Connection& connection,
                                                     const ImageToRecord& image) {
    const store::SnapshotView view(connection, image.ns, image.snapshotter, image.image.chain_id());
    const store::SnapshotDirectories found = store::viewed_directories_of(
        view.mounts(), static_cast<std::size_t>(image.image.layers_size()));
    if (found.obstacle.empty()) return found.lowers;
    throw Error(Errc::unsupported,
                "cannot see the files of " + image.image.name() + " (snapshotter " +
                    image.snapshotter + "): " + found.obstacle,
                "record on a machine with the snapshotter overlayfs: the trace is of layers, and "
                "holds for every snapshotter");
}

RunnableImage runnable(const containerd::Connection& connection, const ImageToRecord& image) {
    const auto config = store::stored_bytes(
        connection, {image.ns}, store::descriptor_of(image.image.config()), oci::kMaxConfigBytes);
    if (!config) {
        throw Error(Errc::not_found,
                    "the config of " + image.image.name() + " is not in containerd",
                    "bake the image again");
    }
    return {.name = image.image.name(),
            .ns = image.ns,
            .snapshotter = image.snapshotter,
            .snapshot = image.image.chain_id(),
            .config = oci::parse_run_config(*config)};
}

/// Whether the command says that the container is ready.
bool is_ready(const RecordingOptions& options, std::uint32_t process_id,
              const std::stop_token& stop) {
    try {
        return run_command({.arguments = {"sh", "-c", options.until_ready},
                            .environment = {{"PREBAKE_PID", std::to_string(process_id)}},
                            .time_limit = kReadyTimeLimit},
                           stop)
                   .status == 0;
    } catch (const Error& error) {
        if (error.code() != Errc::timed_out) throw;
        return false;
    }
}

/// Follows a container that has just been started. Returns how the recording has ended.
RecordingEnd follow(RecordedContainer& container, LayerCache& cache,
                    const RecordingOptions& options, Clock::time_point start,
                    const std::stop_token& stop) {
    const Clock::time_point end = start + options.time_limit;
    std::chrono::seconds look = next_look(std::chrono::seconds(0));
    while (true) {
        Clock::time_point next = std::min(end, start + look);
        if (!options.until_ready.empty()) next = std::min(next, Clock::now() + kReadyInterval);
        const auto status = container.wait_until(next, stop);
        if (status && *status != 0) {
            throw Error(Errc::failed_precondition,
                        "the container ended with exit status " + std::to_string(*status),
                        "its last lines are above; if it only lacks the network, use --net-host");
        }
        if (status && options.until_ready.empty()) return RecordingEnd::ended;
        if (status) {
            throw Error(Errc::failed_precondition, "the container ended before it was ready",
                        "check the command of --until-ready");
        }
        if (!options.until_ready.empty() && is_ready(options, container.process_id(), stop)) {
            return RecordingEnd::ready;
        }
        const Clock::time_point now = Clock::now();
        if (now >= end && options.until_ready.empty()) return RecordingEnd::time_limit;
        if (now >= end) {
            throw Error(Errc::timed_out,
                        "the container was not ready within " +
                            format_duration(Seconds(options.time_limit)),
                        "check the command of --until-ready, or give it more time with --for");
        }
        if (now >= start + look) {
            cache.look(Seconds(now - start).count());
            look = next_look(look);
        }
    }
}

}  // namespace

std::chrono::seconds next_look(std::chrono::seconds last) {
    return std::max(last * 2, std::chrono::seconds(1));
}

ImageToRecord find_image_to_record(const containerd::Connection& connection,
                                   const std::vector<std::string>& namespaces,
                                   const std::string& snapshotter,
                                   const oci::Reference& reference) {
    for (const std::string& ns : namespaces) {
        const containerd::Images images(connection, {.ns = ns, .lease = {}});
        for (const std::string& name : names_for(reference)) {
            const auto found = images.get(name);
            if (!found) continue;
            ImageToRecord image{
                .image = store::describe_stored(connection, ns, *found, oci::Platform::host()),
                .ns = ns,
                .snapshotter =
                    snapshotter.empty() ? store::snapshotter_of(ns, connection) : snapshotter};
            const containerd::Snapshots snapshots(connection, {.ns = ns, .lease = {}},
                                                  image.snapshotter);
            if (!image.image.chain_id().empty() && snapshots.stat(image.image.chain_id())) {
                return image;
            }
            throw Error(Errc::failed_precondition,
                        "the image " + name + " is not unpacked in namespace " + ns +
                            " (snapshotter " + image.snapshotter + ")",
                        how_to_bake(reference, ns));
        }
    }
    throw Error(Errc::not_found,
                "there is no image " + reference.str() + " in containerd's namespace" +
                    (namespaces.size() == 1 ? " " + namespaces.front() : "s that are configured"),
                how_to_bake(reference, namespaces.empty() ? "k8s.io" : namespaces.front()));
}

Recording record_image(const containerd::Connection& connection, const ImageToRecord& image,
                       const RecordingOptions& options) {
    const std::stop_token& stop = connection.stop();
    const RunnableImage to_run = runnable(connection, image);
    std::vector<std::string> program = oci::program_of(to_run.config, options.command);
    const std::vector<std::filesystem::path> lowers = lower_directories(connection, image);
    Recording recording{.trace = {}, .method = residency_method()};
    LayerCache cache(layer_directories(image.image, lowers), recording.method, stop);
    const NoReadAhead no_read_ahead(cache.devices(), options.places);
    recording.is_exact = no_read_ahead.is_complete();
    remove_leftovers(connection, options.places.runtime);
    const oci::ContainerUser user =
        oci::resolve_user(to_run.config.user, read_merged_file(lowers, "etc/passwd", kMaxUserFile),
                          read_merged_file(lowers, "etc/group", kMaxUserFile));
    cache.drop();
    recording.stayed_bytes = cache.stayed_bytes();

    RecordedContainer container(connection, to_run, std::move(program), user, options.network,
                                options.places.runtime);
    const Clock::time_point start = Clock::now();
    try {
        container.start();
        recording.end = follow(container, cache, options, start, stop);
    } catch (const Error&) {
        options.on_output(container.take_output());
        throw;
    }
    recording.seconds = Clock::now() - start;
    container.remove();
    cache.look(recording.seconds.count());
    options.on_output(container.take_output());
    recording.trace = cache.result();
    recording.trace.set_schema(kTraceSchema);
    add_traced_image(image.image, recording.seconds.count(), recording.trace);
    return recording;
}

}  // namespace prebake::hydrate
