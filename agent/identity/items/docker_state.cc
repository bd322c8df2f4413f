#include <algorithm>
#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/text.h"
#include "agent/identity/items/bolt_file.h"
#include "agent/identity/items/docker_layers.h"
#include "agent/identity/items/docker_settings.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

// What Docker keeps below its data roots. The targets of these items name the usual directories, so
// that they are found even if the configuration is gone.
namespace prebake::identity {
namespace {

/// A container's config.v2.json has its environment and command.
constexpr std::size_t kMaxContainerBytes = 16UL << 20;
/// Limit of files whose sizes are added up.
constexpr std::size_t kMaxCounted = 1'000'000;
constexpr std::size_t kMaxPidBytes = 64;

Change removal(std::string path) {
    return {Change::Kind::remove, std::move(path), {}};
}

Change removal_in_store(std::string path) {
    return {Change::Kind::remove, std::move(path), {}, InImageStore::needless, {}};
}

void remove_all_in(const machine::Root& root, const std::string& directory, Changes& changes) {
    for (const std::string& name : root.names_in(directory))
        changes.push_back(removal(directory + "/" + name));
}

std::vector<std::string> with_rootless(const machine::Root& root) {
    std::vector<std::string> roots = docker_settings(root).data_roots;
    std::vector<Error> links;  // of users: the survey reports those that matter
    for (std::string& path : root.match("~/.local/share/docker", links))
        roots.push_back(std::move(path));
    return roots;
}

DockerIs state_of_docker(const machine::Root& root) {
    if (!root.is_running_machine()) return DockerIs::stopped;
    std::vector<std::string> files = docker_settings(root).pid_files;
    files.emplace_back("/run/docker.pid");
    for (const std::string& file : files) {
        const std::string pid{trimmed(root.read(file, kMaxPidBytes).value_or(""))};
        if (pid.empty() || pid.find_first_not_of("0123456789") != std::string::npos) continue;
        try {
            if (read_file("/proc/" + pid + "/comm", kMaxPidBytes).starts_with("dockerd"))
                return DockerIs::running;
        } catch (const Error&) {
            continue;  // it has ended
        }
    }
    return DockerIs::stopped;
}

/// Empty: it is not known.
std::string driver_of(const machine::Root& root, const std::string& container) {
    const std::string text =
        root.read(container + "/config.v2.json", kMaxContainerBytes).value_or("");
    boost::system::error_code error;
    const boost::json::value config = boost::json::parse(text, error);
    if (error || !config.is_object()) return {};
    const boost::json::value* const driver = config.as_object().if_contains("Driver");
    return driver != nullptr && driver->is_string() ? std::string(driver->as_string())
                                                    : std::string();
}

/// With the containerd store, what a container wrote is in one of containerd's snapshots, which
/// only Docker can find by the files here. Without them, nothing would tell that it is still there.
void require_no_snapshots(const machine::Root& root, const std::string& data_root,
                          const std::vector<std::string>& containers) {
    const std::vector<std::string> drivers = graph_drivers(root, data_root);
    const auto has_snapshot = [&](const std::string& id) {
        const std::string driver = driver_of(root, data_root + "/containers/" + id);
        return !driver.empty() &&
               std::find(drivers.begin(), drivers.end(), driver) == drivers.end();
    };
    const auto count = std::count_if(containers.begin(), containers.end(), has_snapshot);
    if (count == 0) return;
    throw Error(Errc::failed_precondition,
                counted(static_cast<std::uint64_t>(count), "container") + " in " +
                    root.outside(data_root).string() +
                    " cannot be removed without Docker: what they wrote is in containerd's store",
                "run docker rm --force for each while Docker runs, then seal again");
}

/// Of all regular files below `path`.
std::uint64_t bytes_below(const machine::Root& root, const std::string& path) {
    std::uint64_t bytes = 0;
    std::size_t files = 0;
    std::vector<std::string> directories{path};
    while (!directories.empty() && files < kMaxCounted) {
        const std::string directory = std::move(directories.back());
        directories.pop_back();
        for (const std::string& name : root.names_in(directory)) {
            const std::string file = directory + "/" + name;
            const auto info = root.info(file);
            if (!info || ++files > kMaxCounted || info->is_mount) continue;
            if (info->type == machine::FileType::directory) directories.push_back(file);
            if (info->type == machine::FileType::regular) bytes += info->size;
        }
    }
    return bytes;
}

bool has_records(const machine::Root& root, const std::string& database, std::string_view bucket) {
    if (!root.info(database)) return false;
    return !is_bolt_bucket_empty(root.open(database).get(), bucket).value_or(false);
}

/// What BuildKit keeps below a data root. It makes its databases when dockerd starts.
struct BuildCache {
    std::vector<std::string> layers;  ///< of the graph driver
    bool is_in_containerd = false;    ///< the layers are snapshots there
    bool has_history = false;
};

BuildCache build_cache_in(const machine::Root& root, const std::string& data_root,
                          DockerIs docker) {
    const std::string directory = data_root + "/buildkit";
    BuildCache cache{.layers = spare_layers(root, data_root, docker).of_builds};
    for (const std::string& database : root.match(directory + "/containerd-*/metadata_v2.db")) {
        if (has_records(root, database, "_main")) cache.is_in_containerd = true;
    }
    // A cache of nothing but records, such as where contexts came from, counts as history.
    cache.has_history = has_records(root, directory + "/metadata_v2.db", "_main") ||
                        has_records(root, directory + "/history.db", "_records") ||
                        has_records(root, directory + "/history_c8d.db", "_records");
    return cache;
}

/// From Docker 25 on, with a graph driver, the results in BuildKit's cache are those of a worker
/// with the engine's ID (before: "moby"). Without that ID, nobody finds them.
bool belongs_to_engine(const machine::Root& root, const std::string& database,
                       const std::string& data_root) {
    constexpr std::size_t kMaxDatabase = 64UL << 20;
    const std::string id{trimmed(root.read(data_root + "/engine-id", kMaxTextBytes).value_or(""))};
    const auto info = root.info(database);
    if (id.empty() || !info || info->size > kMaxDatabase) return false;
    return root.read(database, kMaxDatabase).value_or("").find(id) != std::string::npos;
}

}  // namespace

Changes docker_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    const DockerSettings settings = docker_settings(root);
    for (const std::string& data_root : settings.data_roots) {
        for (const char* const name : {"/engine-id", "/trust/key.json"})
            changes.push_back(removal(data_root + name));
        const std::string results = data_root + "/buildkit/cache.db";
        if (belongs_to_engine(root, results, data_root)) changes.push_back(removal(results));
    }
    // After a boot, another process may have the number in it: dockerd would not start.
    for (const std::string& path : settings.pid_files) changes.push_back(removal(path));
    // On the running machine the file is dockerd's own, and in memory. In an image it was left by a
    // dockerd in a chroot, and prevents the next one from starting.
    if (!root.is_running_machine()) {
        changes.push_back(removal("/run/docker.pid"));
        for (std::string& path : root.match("/var/snap/docker/*/run/docker.pid"))
            changes.push_back(removal(std::move(path)));
    }
    return changes;
}

Changes docker_swarm_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string& data_root : with_rootless(root))
        changes.push_back(removal(data_root + "/swarm"));
    return changes;
}

Changes docker_containers_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    const DockerIs docker = state_of_docker(root);
    for (const std::string& data_root : with_rootless(root)) {
        const std::vector<std::string> containers = root.names_in(data_root + "/containers");
        if (docker == DockerIs::stopped) require_no_snapshots(root, data_root, containers);
        remove_all_in(root, data_root + "/containers", changes);
        for (std::string& path : spare_layers(root, data_root, docker).of_containers)
            changes.push_back(removal_in_store(std::move(path)));
        remove_all_in(root, data_root + "/tmp", changes);
        remove_all_in(root, data_root + "/buildkit/executor", changes);
    }
    return changes;
}

Changes docker_networks_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string& data_root : with_rootless(root))
        remove_all_in(root, data_root + "/network/files", changes);
    return changes;
}

Changes docker_build_cache_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    const DockerIs docker = state_of_docker(root);
    for (const std::string& data_root : with_rootless(root)) {
        const BuildCache cache = build_cache_in(root, data_root, docker);
        if (cache.is_in_containerd && docker == DockerIs::stopped) {
            throw Error(Errc::failed_precondition,
                        "the build cache of " + root.outside(data_root).string() +
                            " cannot be removed without Docker: it is in containerd's store",
                        "run docker builder prune --all while Docker runs, then seal again");
        }
        if (cache.layers.empty() && !cache.is_in_containerd && !cache.has_history) continue;
        std::uint64_t bytes = bytes_below(root, data_root + "/buildkit");
        for (const std::string& path : cache.layers) {
            const auto info = root.info(path);
            if (info && info->type == machine::FileType::directory)
                bytes += bytes_below(root, path);
            changes.push_back(removal_in_store(path));
        }
        changes.push_back({Change::Kind::remove,
                           data_root + "/buildkit",
                           {},
                           InImageStore::refused,
                           cache.is_in_containerd ? "see docker system df" : format_bytes(bytes)});
    }
    return changes;
}

}  // namespace prebake::identity
