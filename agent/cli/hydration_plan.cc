#include "agent/cli/hydration_plan.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "agent/base/capabilities.h"
#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/base/sha256.h"
#include "agent/base/timestamp.h"
#include "agent/containerd/introspection.h"
#include "agent/hydrate/documents.h"
#include "agent/hydrate/planned_volumes.h"
#include "agent/store/placements.h"
#include "agent/store/record.h"
#include "agent/store/snapshot_directories.h"
#include "agent/store/snapshot_view.h"
#include "agent/store/storage.h"

namespace prebake::cli {
namespace {

/// What reads the disk before any container starts, where distributions have it.
constexpr const char* kPrograms[] = {
    "containerd", "containerd-shim-runc-v2", "runc", "crun", "dockerd", "prebake", "kubelet"};
constexpr const char* kProgramDirectories[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                               "/usr/bin"};
constexpr const char* kNetworkPrograms = "/opt/cni/bin";
constexpr const char* kConfigurations[] = {"/etc/containerd", "/etc/prebake", "/etc/cni/net.d",
                                           "/etc/docker", "/etc/kubernetes"};

constexpr CapabilityMask kReadAll =
    capability(2) | capability(3);  // CAP_DAC_READ_SEARCH, CAP_FOWNER

/// Finds the files of recorded images.
class FileFinder {
  public:
    FileFinder(const ImageStores& stores, const v1::HydrationPlan& before)
        : stores_(stores),
          storage_(containerd::plugins(stores.containerd)),
          known_at_(to_time(before.made_at())) {
        for (const v1::PlannedLayer& layer : before.layers()) {
            directories_[layer.chain_id()] = layer.directory();
        }
    }

    hydrate::PlanFiles find(const std::filesystem::path& state_dir, const v1::BakeRecord& record) {
        hydrate::PlanFiles files;
        std::set<std::string> snapshotters;
        for (const v1::BakedImage& image : record.images()) {
            for (const v1::Placement& placement : image.placements()) {
                if (!placement.snapshotter().empty()) snapshotters.insert(placement.snapshotter());
            }
        }
        files.essentials = storage_.databases({snapshotters.begin(), snapshotters.end()});
        files.sentinels.push_back(store::record_path(state_dir));
        files.sentinels.insert(files.sentinels.end(), files.essentials.begin(),
                               files.essentials.end());
        for (const v1::BakedImage& image : record.images()) {
            add_documents(image, files.essentials);
            files.images.push_back(files_of(image));
        }
        add_machine(state_dir, files.essentials);
        return files;
    }

    /// Why the layers of some images are not found as directories.
    const std::set<std::string>& obstacles() const { return obstacles_; }
    /// Chain IDs of the layers that were found.
    const std::map<std::string, std::string>& chain_ids() const { return chain_ids_; }

  private:
    void add_documents(const v1::BakedImage& image, std::vector<std::filesystem::path>& files) {
        std::vector<std::string> digests{image.target().digest(), image.manifest().digest(),
                                         image.config().digest()};
        for (const v1::Document& index : image.indexes()) digests.push_back(index.digest());
        for (const std::string& digest : digests) {
            if (digest.empty() || !documents_.insert(digest).second) continue;
            const auto path = storage_.path_of(oci::Digest::parse(digest));
            if (path) files.push_back(*path);
        }
    }

    static void add_machine(const std::filesystem::path& state_dir,
                            std::vector<std::filesystem::path>& files) {
        files.push_back(state_dir);
        for (const char* directory : kConfigurations) files.emplace_back(directory);
        for (const char* program : kPrograms) {
            for (const char* directory : kProgramDirectories) {
                std::error_code error;
                const std::filesystem::path path =
                    std::filesystem::canonical(std::filesystem::path(directory) / program, error);
                if (error) continue;
                files.push_back(path);
                break;
            }
        }
        files.emplace_back(kNetworkPrograms);
    }

    hydrate::ImageFiles files_of(const v1::BakedImage& image) {
        hydrate::ImageFiles files{
            .name = image.name(), .priority = image.priority(), .layers = {}, .blobs = {}};
        for (const v1::Placement& placement : image.placements()) {
            if (store::is_in_graph_driver(placement)) {
                add_engine_layers(image, files);
                continue;
            }
            if (placement.unpacked()) add_layers(image, placement, files);
            if (!placement.layers_kept()) continue;
            for (const v1::Layer& layer : image.layers()) {
                if (!documents_.insert(layer.digest()).second) continue;
                const auto path = storage_.path_of(oci::Digest::parse(layer.digest()));
                if (path) files.blobs.push_back(*path);
            }
        }
        return files;
    }

    void add_layers(const v1::BakedImage& image, const v1::Placement& placement,
                    hydrate::ImageFiles& files) {
        const auto is_known = [&](const v1::Layer& layer) {
            const auto directory = directories_.find(key_of(placement, layer.chain_id()));
            return directory != directories_.end() && is_as_before(directory->second);
        };
        if (!std::ranges::all_of(image.layers(), is_known) && !look_up(image, placement)) return;
        for (const v1::Layer& layer : image.layers()) {
            const std::string key = key_of(placement, layer.chain_id());
            const std::filesystem::path& directory = directories_[key];
            chain_ids_[directory] = key;
            files.layers.push_back({.diff_id = layer.diff_id(), .directory = directory});
        }
    }

    /// A containerd that begins with an empty store gives the names of its directories again.
    bool is_as_before(const std::filesystem::path& directory) const {
        struct stat found {};
        if (stat(directory.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) return false;
        const auto changed = std::chrono::seconds(found.st_ctim.tv_sec) +
                             std::chrono::nanoseconds(found.st_ctim.tv_nsec);
        return changed < known_at_.time_since_epoch();
    }

    /// The same layer is in another directory for another snapshotter.
    static std::string key_of(const v1::Placement& placement, const std::string& chain_id) {
        return placement.snapshotter() + "/" + chain_id;
    }

    bool look_up(const v1::BakedImage& image, const v1::Placement& placement) {
        const auto count = static_cast<std::size_t>(image.layers_size());
        try {
            const store::SnapshotView view(stores_.containerd, placement.namespace_(),
                                           placement.snapshotter(), image.chain_id());
            const store::SnapshotDirectories found =
                store::viewed_directories_of(view.mounts(), count);
            if (!found.obstacle.empty()) {
                obstacles_.insert("files of the snapshotter " + placement.snapshotter() +
                                  " cannot be read: " + found.obstacle);
                return false;
            }
            for (std::size_t i = 0; i < count; ++i) {
                const v1::Layer& layer = image.layers(static_cast<int>(i));
                directories_[key_of(placement, layer.chain_id())] = found.lowers[count - 1 - i];
            }
            return true;
        } catch (const Error& error) {
            if (containerd::ends_session(error)) throw;
            obstacles_.insert(error.within("image " + image.name()).message());
            return false;
        }
    }

    void add_engine_layers(const v1::BakedImage& image, hydrate::ImageFiles& files) {
        if (stores_.docker == nullptr) return;
        std::optional<docker::EngineImage> found;
        try {
            found = stores_.docker->inspect(image.config().digest());
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            obstacles_.insert(error.within("image " + image.name()).message());
        }
        if (!found) return;
        if (found->layer_directories.empty()) {
            obstacles_.insert(
                "files of dockerd's graph driver cannot be read: it has no "
                "directory for each layer");
        }
        for (std::size_t i = 0; i < found->layer_directories.size(); ++i) {
            files.layers.push_back(
                {.diff_id = found->layers[i], .directory = found->layer_directories[i]});
        }
    }

    const ImageStores& stores_;
    store::Storage storage_;
    std::chrono::system_clock::time_point known_at_;            ///< when directories_ held
    std::map<std::string, std::filesystem::path> directories_;  ///< by key_of()
    std::map<std::string, std::string> chain_ids_;              ///< keys by directory
    std::set<std::string> documents_;
    std::set<std::string> obstacles_;
};

/// What a plan depends on; another version of prebake may plan otherwise.
std::string inputs_of(const v1::BakeRecord& record, const v1::ReadTrace& trace) {
    v1::BakeRecord images;
    images.set_prebake_version(PREBAKE_VERSION);
    for (const v1::BakedImage& image : record.images()) {
        v1::BakedImage& copy = *images.add_images();
        copy.set_name(image.name());
        copy.set_platform(image.platform());
        copy.set_priority(image.priority());
        *copy.mutable_target() = image.target();
        *copy.mutable_placements() = image.placements();
        *copy.mutable_baked_at() = image.baked_at();
    }
    return sha256_hex(to_json(images, JsonForm::line) + to_json(trace, JsonForm::line));
}

v1::HydrationPlan plan_before(const std::filesystem::path& state_dir) {
    try {
        return hydrate::read_plan(state_dir);
    } catch (const Error&) {  // none, or one that is replaced
        return {};
    }
}

/// A disk that was copied by files has the same images in other places.
bool has_places_here(const v1::HydrationPlan& plan) {
    try {
        return hydrate::find_planned_volumes(plan).moved.empty();
    } catch (const Error&) {
        return false;
    }
}

}  // namespace

std::optional<hydrate::MadePlan> update_hydration_plan(const std::filesystem::path& state_dir,
                                                       const v1::BakeRecord& record,
                                                       const v1::ReadTrace& trace,
                                                       const ImageStores& stores,
                                                       const std::function<void()>& on_begin) {
    const v1::HydrationPlan before = plan_before(state_dir);
    const std::string inputs = inputs_of(record, trace);
    if (before.made_from() == inputs && has_places_here(before)) return std::nullopt;
    on_begin();
    FileFinder finder(stores, before);
    const hydrate::PlanFiles files = finder.find(state_dir, record);
    hydrate::FileSystems file_systems(hydrate::Detail::places);
    hydrate::MadePlan made = [&] {
        // Layers have directories that only their owners may read.
        const RaisedCapabilities raised(kReadAll);
        return hydrate::make_plan(files, trace, file_systems);
    }();
    for (v1::PlannedLayer& layer : *made.plan.mutable_layers()) {
        const auto key = finder.chain_ids().find(layer.directory());
        if (key != finder.chain_ids().end()) layer.set_chain_id(key->second);
    }
    made.notes.insert(made.notes.end(), finder.obstacles().begin(), finder.obstacles().end());
    made.plan.set_made_from(inputs);
    made.plan.set_prebake_version(PREBAKE_VERSION);
    *made.plan.mutable_made_at() = to_timestamp(std::chrono::system_clock::now());
    hydrate::write_plan(state_dir, made.plan);
    return made;
}

}  // namespace prebake::cli
