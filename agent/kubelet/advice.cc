#include "agent/kubelet/advice.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/kubelet/comment.h"
#include "agent/oci/reference.h"
#include "agent/store/names.h"

namespace prebake::kubelet {
namespace {

/// How many images of a node the kubelet reports by default (nodeStatusMaxImages).
constexpr int kDefaultStatusImages = 50;
/// For images that pods pull later, in addition to the baked ones. Not -1 (all images): the list is
/// part of the Node object, which is sent to all watchers of nodes.
constexpr int kStatusImagesHeadroom = 50;
/// KEP-2535 is enabled by default since this version. Before, its settings are rejected or unknown.
constexpr KubernetesVersion kVerifiesPulledImages{1, 35};

std::string to_text(const KubernetesVersion& version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor);
}

const v1::Placement* cri_placement(const v1::BakedImage& image) {
    for (const v1::Placement& placement : image.placements()) {
        if (placement.namespace_() == store::kCriNamespace) return &placement;
    }
    return nullptr;
}

/// Nothing for a bare digest and for an invalid reference.
std::optional<oci::Reference> parse(const std::string& name) {
    if (store::is_image_id(name)) return std::nullopt;
    try {
        return oci::Reference::parse(name);
    } catch (const Error&) {
        return std::nullopt;
    }
}

/// Calls `take` with the image, the name in the record and the parsed reference, for every name
/// that CRI has.
template <typename Take>
void for_each_cri_name(const v1::BakeRecord& record, const Take& take) {
    for (const v1::BakedImage& image : record.images()) {
        const v1::Placement* placement = cri_placement(image);
        if (placement == nullptr) continue;
        const auto take_one = [&](const std::string& name) {
            if (const auto reference = parse(name)) take(image, name, *reference);
        };
        take_one(image.name());
        for (const std::string& name : placement->names()) take_one(name);
    }
}

/// Repositories by CRI's image ID (the digest of the config), each with one name in it.
using Repositories = std::map<std::string, std::string>;
std::map<std::string, Repositories> repositories_by_id(const v1::BakeRecord& record) {
    std::map<std::string, Repositories> found;
    for_each_cri_name(record, [&](const v1::BakedImage& image, const std::string& name,
                                  const oci::Reference& reference) {
        found[image.config().digest()].emplace(reference.name(), name);
    });
    return found;
}

/// The name that CRI resolves: with a tag and a digest it uses only the digest.
std::string resolved(oci::Reference reference) {
    if (reference.digest) reference.tag.reset();
    return reference.str();
}

/// CRI's image IDs by name.
std::map<std::string, std::string> ids_by_name(const v1::BakeRecord& record) {
    std::map<std::string, std::string> ids;
    for_each_cri_name(record, [&](const v1::BakedImage& image, const std::string& /*name*/,
                                  const oci::Reference& reference) {
        ids.emplace(resolved(reference), image.config().digest());
    });
    return ids;
}

std::uint64_t pinned_bytes(const v1::BakeRecord& record) {
    std::map<std::string, std::uint64_t> layers;
    for (const v1::BakedImage& image : record.images()) {
        const v1::Placement* placement = cri_placement(image);
        if (placement == nullptr || !placement->pinned()) continue;
        for (const v1::Layer& layer : image.layers()) layers.emplace(layer.digest(), layer.size());
    }
    std::uint64_t bytes = 0;
    for (const auto& [digest, size] : layers) bytes += size;
    return bytes;
}

bool has_unpinned(const v1::BakeRecord& record) {
    return std::any_of(record.images().begin(), record.images().end(), [](const auto& image) {
        const v1::Placement* placement = cri_placement(image);
        return placement != nullptr && !placement->pinned();
    });
}

void add_setting(v1::KubeletAdvice& advice, std::string key, std::string value, std::string why) {
    v1::KubeletSetting& setting = *advice.add_settings();
    setting.set_key(std::move(key));
    setting.set_value(std::move(value));
    setting.set_why(std::move(why));
}

/// Like add_setting(), for a setting with which a kubelet without KEP-2535 does not start.
void add_if_supported(v1::KubeletAdvice& advice, const std::optional<KubernetesVersion>& kubelet,
                      std::string key, std::string value, std::string why) {
    add_setting(advice, std::move(key), {}, std::move(why));
    v1::KubeletSetting& setting = *advice.mutable_settings()->rbegin();
    if (kubelet && *kubelet >= kVerifiesPulledImages) {
        setting.set_value(std::move(value));
        return;
    }
    setting.set_held_back(std::move(value));
    const std::string since = to_text(kVerifiesPulledImages);
    setting.set_why((kubelet ? "Disabled, because the kubelet has version " + to_text(*kubelet) +
                                   " and would not start with this setting, which needs " + since +
                                   " or later. "
                             : "Disabled, because the version of the kubelet is not known, and a "
                               "kubelet before " +
                                   since +
                                   " would not start with this setting: use "
                                   "--kubernetes VERSION. ") +
                    setting.why());
}

/// KEP-2535. The kubelet does not start with the list but without the policy that uses it, or with
/// either of them if the feature is disabled.
void advise_on_verification(v1::KubeletAdvice& advice, const std::set<std::string>& repositories,
                            const std::optional<KubernetesVersion>& kubelet) {
    std::string list;
    for (const std::string& repository : repositories) {
        advice.add_preloaded_images_verification_allowlist(repository);
        list += (list.empty() ? "- \"" : "\n- \"") + repository + "\"";
    }
    if (list.empty()) return;
    add_if_supported(
        advice, kubelet, "imagePullCredentialsVerificationPolicy", "NeverVerifyAllowlistedImages",
        "It needs the feature KubeletEnsureSecretPulledImages, which is enabled by default. The "
        "default policy, NeverVerifyPreloadedImages, also lets pods use baked images, but only "
        "until the kubelet pulls the same image itself, perhaps under another name: then it pulls "
        "the baked image again. With this policy, every other preloaded image on the node needs "
        "credentials that the registry accepts.");
    add_if_supported(
        advice, kubelet, "preloadedImagesVerificationAllowlist", list,
        "The baked repositories: every pod on this node can use their images on this node, with "
        "any tag and without credentials. Remove repositories that not every pod may read.");
}

void advise_on_collection(v1::KubeletAdvice& advice, const v1::BakeRecord& record) {
    if (const std::uint64_t bytes = pinned_bytes(record); bytes > 0) {
        const std::string why =
            "Pinned images (" + format_bytes(bytes) +
            " compressed, about three times that unpacked) count as used space and are never "
            "collected. Keep both thresholds above the share of the disk that they use, otherwise "
            "the kubelet keeps removing all other images.";
        add_setting(advice, "imageGCHighThresholdPercent", "", why);
        add_setting(advice, "imageGCLowThresholdPercent", "",
                    "See imageGCHighThresholdPercent; it must be smaller than that.");
    }
    if (has_unpinned(record)) {
        add_setting(advice, "imageMaximumGCAge", "",
                    "Some baked images are not pinned: keep the default of 0s, otherwise they are "
                    "removed when they were not used for this long.");
    }
}

/// Each line after "# ".
std::string commented_out(std::string_view text) {
    std::string comment = "# ";
    for (const char c : text) {
        comment += c;
        if (c == '\n') comment += "# ";
    }
    return comment;
}

std::string allow(const std::string& repository) {
    return "add " + repository +
           " to preloadedImagesVerificationAllowlist (prebake kubelet-config prints it)";
}

void explain(v1::PullRecordClash& clash, PodAccess access, const std::string& repository) {
    if (access == PodAccess::with_credentials) {
        clash.set_cause("restricted");
        clash.set_message("the kubelet will pull " + clash.image() +
                          " again for every pod without one of the pull secrets and service "
                          "accounts in this record");
        clash.set_next_step("if every pod on this node may use it, " + allow(repository) +
                            "; otherwise give the pods that may use it the same pull secret");
        return;
    }
    clash.set_cause("unverified");
    clash.set_message("the kubelet will pull " + clash.image() +
                      " again: it pulled the same image itself, and has verified it for no pod "
                      "under this name");
    clash.set_next_step(allow(repository) + ", or stop the kubelet and remove the file");
}

v1::PullRecordClash clash_of(const PullIntent& intent, const oci::Reference& image,
                             const std::string& image_id) {
    v1::PullRecordClash clash;
    clash.set_file(printable(intent.file.string()));
    clash.set_image(resolved(image));
    clash.set_image_id(image_id);
    clash.set_cause("pull_begun");
    // The kubelet compares it with the name in the pod.
    const std::string as_named = intent.image == clash.image() ? "" : " (" + intent.image + ")";
    clash.set_message("the kubelet will pull " + clash.image() + as_named +
                      " again: it started a pull, and has not recorded that the pull ended");
    clash.set_next_step("unless the pull is still running, " + allow(image.name()) +
                        ", or stop the kubelet and remove the file");
    return clash;
}

}  // namespace

std::optional<KubernetesVersion> parse_kubernetes_version(std::string_view text) {
    for (const std::string_view prefix : {"Kubernetes ", "v"}) {
        if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
    }
    KubernetesVersion version;
    const char* const end = text.data() + text.size();
    const auto [dot, no_major] = std::from_chars(text.data(), end, version.major);
    if (no_major != std::errc() || dot == end || *dot != '.') return std::nullopt;
    const auto [rest, no_minor] = std::from_chars(dot + 1, end, version.minor);
    // "1.35", "1.35+" from some vendors, "1.35.2-anything"
    if (no_minor != std::errc() ||
        (rest != end && *rest != '.' && *rest != '+' && *rest != '-' && *rest != '\n')) {
        return std::nullopt;
    }
    return version;
}

v1::KubeletAdvice advise_kubelet(const v1::BakeRecord& record,
                                 std::optional<KubernetesVersion> kubelet) {
    v1::KubeletAdvice advice;
    advice.set_schema("prebake.v1.KubeletAdvice");
    if (kubelet) advice.set_kubernetes(to_text(*kubelet));
    const auto by_id = repositories_by_id(record);
    std::set<std::string> repositories;
    for (const auto& [id, names] : by_id) {
        std::string list;
        for (const auto& [repository, name] : names) {
            repositories.insert(repository);
            list += (list.empty() ? "" : ", ") + repository;
        }
        if (names.size() > 1) {
            advice.add_warnings("one image was baked from " + std::to_string(names.size()) +
                                " repositories (" + list +
                                "): after the kubelet pulls it from one of them, it verifies the "
                                "others again, unless the allowlist is in use");
        }
    }
    advise_on_verification(advice, repositories, kubelet);
    const auto images = static_cast<int>(by_id.size());
    if (images > kDefaultStatusImages) {
        advice.set_node_status_max_images(images + kStatusImagesHeadroom);
        add_setting(advice, "nodeStatusMaxImages", std::to_string(advice.node_status_max_images()),
                    std::to_string(images) +
                        " images are baked, but the kubelet reports only the 50 largest to the "
                        "scheduler, which prefers nodes that have the image of a pod. This value "
                        "covers all of them and 50 more.");
    }
    advise_on_collection(advice, record);
    return advice;
}

std::string to_yaml(const v1::KubeletAdvice& advice) {
    std::string yaml =
        "# For the images that prebake baked: merge this into the kubelet's configuration.\n"
        "apiVersion: kubelet.config.k8s.io/v1beta1\n"
        "kind: KubeletConfiguration\n";
    for (const v1::KubeletSetting& setting : advice.settings()) {
        yaml += "\n";
        const bool is_held_back = !setting.held_back().empty();
        const std::string& value = is_held_back ? setting.held_back() : setting.value();
        if (value.empty()) {
            yaml += comment_of(setting.key() + ": " + setting.why());
            continue;
        }
        const std::string entry = setting.key() + (value.starts_with("- ") ? ":\n" : ": ") + value;
        yaml += comment_of(setting.why()) + (is_held_back ? commented_out(entry) : entry) + "\n";
    }
    return yaml;
}

std::vector<v1::PullRecordClash> find_clashes(const v1::BakeRecord& record,
                                              const PullRecords& records) {
    const auto by_id = repositories_by_id(record);
    std::set<std::string> recorded;
    std::vector<v1::PullRecordClash> clashes;
    for (const PullRecord& pulled : records.pulled) {
        recorded.insert(pulled.image_id);
        const auto baked = by_id.find(pulled.image_id);
        if (baked == by_id.end()) continue;
        for (const auto& [repository, name] : baked->second) {
            const auto known = pulled.known_as.find(repository);
            const PodAccess access =
                known == pulled.known_as.end() ? PodAccess::no_pod : known->second;
            if (access == PodAccess::every_pod) continue;
            v1::PullRecordClash& clash = clashes.emplace_back();
            clash.set_file(printable(pulled.file.string()));
            clash.set_image(name);
            clash.set_image_id(pulled.image_id);
            for (const auto& other : pulled.known_as) clash.add_known_as(other.first);
            explain(clash, access, repository);
        }
    }
    const auto ids = ids_by_name(record);
    for (const PullIntent& intent : records.pulling) {
        const auto image = parse(intent.image);
        const auto baked = image ? ids.find(resolved(*image)) : ids.end();
        // The kubelet checks intents only if it has no record.
        if (baked == ids.end() || recorded.contains(baked->second)) continue;
        clashes.push_back(clash_of(intent, *image, baked->second));
    }
    return clashes;
}

}  // namespace prebake::kubelet
