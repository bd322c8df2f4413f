#include "agent/identity/items/docker_layers.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/text.h"

// What dockerd removes with a container (moby, layer/layer_store.go, ReleaseRWLayer), for a dockerd
// that does not run.
namespace prebake::identity {
namespace {

/// A name of a directory, or "sha256:" and a digest.
constexpr std::size_t kMaxName = 512;
constexpr std::string_view kInit = "-init";

struct GraphDriver {
    std::string_view name;
    std::string_view layers;  ///< below the data root
};
constexpr std::array kDrivers{GraphDriver{"overlay2", "/overlay2"},
                              GraphDriver{"fuse-overlayfs", "/fuse-overlayfs"},
                              GraphDriver{"vfs", "/vfs/dir"}};

bool consists_of(std::string_view text, std::string_view allowed) {
    return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

/// 64 digits, or BuildKit's 25 letters and digits; with "-init" what a container's layer is above.
bool is_layer_name(std::string_view name) {
    if (name.ends_with(kInit)) name.remove_suffix(kInit.size());
    return (name.size() == 64 || name.size() == 25) &&
           consists_of(name, "0123456789abcdefghijklmnopqrstuvwxyz");
}

/// The store of one driver below one data root.
class LayerStore {
  public:
    LayerStore(const machine::Root& root, const std::string& data_root, const GraphDriver& driver)
        : root_(root),
          records_(data_root + "/image/" + std::string(driver.name) + "/layerdb"),
          layers_(data_root + std::string(driver.layers)) {}

    void find(SpareLayers& found, DockerIs docker) const {
        const std::vector<std::string> names = root_.names_in(layers_);
        const std::set<std::string> needed = needed_by_images();
        std::set<std::string> of_containers;
        for (const std::string& id : root_.names_in(records_ + "/mounts")) {
            found.of_containers.push_back(records_ + "/mounts/" + id);
            for (const char* const file : {"/mount-id", "/init-id"}) {
                if (const auto name = name_in(records_ + "/mounts/" + id + file))
                    of_containers.insert(*name);
            }
        }
        for (const std::string& name : names) {
            if (!is_layer_name(name) || !name.ends_with(kInit)) continue;
            of_containers.insert(name);
            of_containers.insert(name.substr(0, name.size() - kInit.size()));
        }
        for (const std::string& name : names) {
            if (!is_layer_name(name) || needed.count(name) != 0) continue;
            const bool is_of_container = of_containers.count(name) != 0;
            if (is_of_container && docker == DockerIs::stopped) require_unmounted(name);
            // Without any record, the images' may be elsewhere, or lost.
            if (!is_of_container && needed.empty()) continue;
            add(name, is_of_container ? found.of_containers : found.of_builds);
        }
    }

  private:
    /// The directories of the images' layers. One that is missing here would be removed, so a
    /// record that cannot be read is an error.
    std::set<std::string> needed_by_images() const {
        std::set<std::string> needed;
        for (const std::string& algorithm : root_.names_in(records_)) {
            if (algorithm == "mounts" || algorithm == "tmp") continue;
            for (const std::string& digest : root_.names_in(records_ + "/" + algorithm)) {
                const std::string file = records_ + "/" + algorithm + "/" + digest + "/cache-id";
                const std::optional<std::string> name = name_in(file);
                if (!name) {
                    throw Error(Errc::corrupt,
                                root_.outside(file).string() +
                                    " does not say where the layer of an image is",
                                "remove that image with docker, or skip this item");
                }
                needed.insert(*name);
            }
        }
        return needed;
    }

    std::optional<std::string> name_in(const std::string& file) const {
        const std::optional<std::string> text = root_.read(file, kMaxName);
        if (!text || !is_layer_name(trimmed(*text))) return std::nullopt;
        return std::string(trimmed(*text));
    }

    void require_unmounted(const std::string& name) const {
        const auto merged = root_.info(layers_ + "/" + name + "/merged");
        if (!merged || !merged->is_mount) return;
        throw Error(Errc::failed_precondition,
                    "a container runs in " + root_.outside(layers_ + "/" + name).string() +
                        ", and Docker does not",
                    "start Docker, then seal again");
    }

    void add(const std::string& name, std::vector<std::string>& paths) const {
        const std::string layer = layers_ + "/" + name;
        const std::string link{trimmed(root_.read(layer + "/link", kMaxName).value_or(""))};
        if (consists_of(link, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
            paths.push_back(layers_ + "/l/" + link);
        paths.push_back(layer);
    }

    const machine::Root& root_;
    std::string records_;
    std::string layers_;
};

}  // namespace

std::vector<std::string> graph_drivers(const machine::Root& root, const std::string& data_root) {
    std::vector<std::string> drivers = root.names_in(data_root + "/image");
    std::erase_if(drivers, [&](const std::string& name) {
        return !root.info(data_root + "/image/" + name + "/layerdb");
    });
    return drivers;
}

SpareLayers spare_layers(const machine::Root& root, const std::string& data_root, DockerIs docker) {
    SpareLayers found;
    for (const std::string& name : graph_drivers(root, data_root)) {
        const auto driver = std::find_if(kDrivers.begin(), kDrivers.end(),
                                         [&](const GraphDriver& it) { return it.name == name; });
        if (driver != kDrivers.end()) {
            LayerStore(root, data_root, *driver).find(found, docker);
            continue;
        }
        const std::string mounts = data_root + "/image/" + name + "/layerdb/mounts";
        if (root.names_in(mounts).empty()) continue;
        throw Error(Errc::unsupported,
                    "the files of Docker's containers in " + root.outside(data_root).string() +
                        " cannot be removed without Docker: its storage driver is " +
                        printable(name),
                    "remove the containers with docker rm --force, then seal again");
    }
    return found;
}

}  // namespace prebake::identity
