#include "agent/guard/docker_store.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string_view>
#include <utility>

#include "agent/store/placements.h"

namespace prebake::guard {
namespace {

/// The first version that uses containerd's store unless something speaks against it, and the first
/// that can.
constexpr int kDefaultSince = 29;
constexpr int kPossibleSince = 24;

constexpr const char* kRestart = ", then: systemctl restart docker";
constexpr const char* kBakeForIt = ", or bake with a builder that has this Docker";

bool has_placement(const v1::BakeRecord& record,
                   const std::function<bool(const v1::Placement&)>& is_wanted) {
    return std::ranges::any_of(record.images(), [&](const v1::BakedImage& image) {
        return std::ranges::any_of(image.placements(), is_wanted);
    });
}

bool is_in_dockers_containerd(const v1::Placement& placement) {
    return placement.namespace_() == store::kDockerNamespace &&
           !store::is_in_graph_driver(placement);
}

/// 0 if it is not a number.
int major_of(const std::string& version) {
    int major = 0;
    std::from_chars(version.data(), version.data() + version.size(), major);
    return major;
}

/// A socket below /var/run is the same below /run.
std::string_view without_var(std::string_view path) {
    if (path.starts_with("unix://")) path.remove_prefix(7);
    return path.starts_with("/var/run/") ? path.substr(4) : path;
}

std::string in_file(const docker::DaemonFile& file, const std::string& key) {
    return key + " in " + file.path.string();
}

/// The images are in containerd, and dockerd uses a graph driver.
StoreMismatch went_to_graph_driver(const docker::EngineInfo& info, const docker::DaemonFile& file) {
    const int version = major_of(info.version);
    const std::string turn_on =
        "set features.containerd-snapshotter to true" + (" in " + file.path.string());
    std::string why;
    std::string next_step = turn_on + kRestart;
    if (file.containerd_snapshotter == false) {
        why = in_file(file, "features.containerd-snapshotter = false") + " says so";
    } else if (!file.storage_driver.empty()) {
        why = in_file(file, "storage-driver = " + file.storage_driver) + " says so";
        next_step =
            "remove storage-driver from " + file.path.string() + " and " + turn_on + kRestart;
    } else if (info.has_user_namespaces) {
        why = "with userns-remap Docker has no containerd store";
        next_step = "remove userns-remap from " + file.path.string() + kRestart + kBakeForIt;
    } else if (version >= kDefaultSince) {
        why = (info.data_root / info.driver).string() +
              " was not empty when dockerd started, and then it continues with that";
    } else if (version > 0 && version < kPossibleSince) {
        why = "Docker before " + std::to_string(kPossibleSince) + " has no other";
        next_step = "upgrade Docker" + std::string(kBakeForIt);
    } else {
        why = "Docker before " + std::to_string(kDefaultSince) +
              " uses containerd's store only if it is configured to";
    }
    return {.message = "the images were baked into containerd's store, and this is " +
                       describe_store(info) + ", which sees none of them: " + why,
            .next_step = next_step};
}

/// The images are in a graph driver, and dockerd uses containerd.
StoreMismatch went_to_containerd(const docker::EngineInfo& info, const docker::DaemonFile& file,
                                 const std::string& recorded) {
    const std::string why =
        file.containerd_snapshotter == true
            ? in_file(file, "features.containerd-snapshotter = true") + " says so"
            : "Docker since " + std::to_string(kDefaultSince) + " does that if " +
                  (info.data_root / recorded).string() +
                  " is empty: its data were removed, another disk is mounted there, or they were "
                  "migrated";
    return {.message = "the images were baked into the graph driver " + recorded +
                       ", and this is " + describe_store(info) +
                       ", which sees none of them: " + why,
            .next_step = "set features.containerd-snapshotter to false in " + file.path.string() +
                         kRestart + kBakeForIt};
}

std::optional<StoreMismatch> compare_placement(const v1::Placement& placement,
                                               const docker::EngineInfo& info,
                                               const docker::DaemonFile& file) {
    const bool is_graph = store::is_in_graph_driver(placement);
    if (is_graph && info.uses_containerd_store) {
        return went_to_containerd(info, file, placement.graph_driver());
    }
    if (!is_graph && !info.uses_containerd_store) return went_to_graph_driver(info, file);
    const std::string& recorded = is_graph ? placement.graph_driver() : placement.snapshotter();
    // Not unpacked: dockerd does it, with whatever it has.
    if (recorded.empty() || recorded == info.driver) return {};
    const std::string cause =
        file.storage_driver.empty() ? "" : ": " + in_file(file, "storage-driver") + " says so";
    return StoreMismatch{.message = "the images were baked for " + recorded + ", and this is " +
                                    describe_store(info) + cause,
                         .next_step = "set storage-driver to " + recorded + " in " +
                                      file.path.string() + kRestart + kBakeForIt};
}

/// dockerd uses the containerd store, but not the one that was baked into.
std::optional<StoreMismatch> compare_containerd(const docker::EngineInfo& info,
                                                const docker::DaemonFile& file,
                                                const std::string& containerd) {
    if (info.containerd_namespace != store::kDockerNamespace) {
        return StoreMismatch{
            .message =
                "the images are in containerd's namespace " + std::string(store::kDockerNamespace) +
                ", and dockerd uses " + info.containerd_namespace +
                (info.has_user_namespaces ? ": with userns-remap it has one for each mapping" : ""),
            .next_step = (info.has_user_namespaces ? "remove userns-remap from "
                                                   : "remove containerd-namespace from ") +
                         file.path.string() + kRestart};
    }
    const std::string& own = info.containerd_address;
    if (own.empty() || without_var(own) == without_var(containerd)) return {};
    return StoreMismatch{
        .message = "dockerd uses the containerd at " + own + ", and the images are in the one at " +
                   containerd,
        .next_step = "set containerd.address to " + own +
                     " in prebake.toml and bake again, or have dockerd use the other one "
                     "(containerd in " +
                     file.path.string() + ")" + kRestart};
}

}  // namespace

bool is_for_docker(const v1::BakeRecord& record) {
    return has_placement(record, [](const v1::Placement& placement) {
        return placement.namespace_() == store::kDockerNamespace;
    });
}

bool needs_containerd(const v1::BakeRecord& record) {
    return record.images().empty() || has_placement(record, [](const v1::Placement& placement) {
               return !store::is_in_graph_driver(placement);
           });
}

std::string describe_store(const docker::EngineInfo& info) {
    return "Docker " + info.version + " with " +
           (info.uses_containerd_store ? "the containerd store (" + info.driver + ")"
                                       : "the graph driver " + info.driver);
}

std::optional<StoreMismatch> compare_store(const v1::BakeRecord& record,
                                           const docker::EngineInfo& info,
                                           const docker::DaemonFile& file,
                                           const std::string& containerd) {
    if (!is_for_docker(record)) return {};
    if (info.is_rootless) {
        return StoreMismatch{
            .message =
                "this dockerd is rootless: each user's has a store of its own, which nothing "
                "was baked into",
            .next_step = "use the dockerd of the machine, or set docker.host to its socket"};
    }
    for (const v1::BakedImage& image : record.images()) {
        for (const v1::Placement& placement : image.placements()) {
            if (placement.namespace_() != store::kDockerNamespace) continue;
            if (auto mismatch = compare_placement(placement, info, file)) return mismatch;
        }
    }
    if (!has_placement(record, is_in_dockers_containerd)) return {};
    return compare_containerd(info, file, containerd);
}

std::optional<StoreMismatch> explain_absence(const std::vector<ImageHealth>& images,
                                             const docker::EngineInfo& info,
                                             const docker::DaemonFile& file) {
    const bool is_any_there =
        std::ranges::any_of(images, [](const ImageHealth& image) { return image.is_present; });
    if (!info.has_user_namespaces || images.empty() || is_any_there) return {};
    return StoreMismatch{.message = describe_store(info) +
                                    " has none of the images: with userns-remap it keeps a "
                                    "store for each mapping of users, this one in " +
                                    info.data_root.string(),
                         .next_step = "remove userns-remap from " + file.path.string() + kRestart +
                                      ", or bake with a builder that has the same mapping"};
}

}  // namespace prebake::guard
