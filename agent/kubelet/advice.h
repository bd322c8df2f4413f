#pragma once

#include <compare>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::kubelet {

struct KubernetesVersion {
    unsigned major = 0;
    unsigned minor = 0;
    auto operator<=>(const KubernetesVersion&) const = default;
};

/// Parses "1.35", "v1.36.2", "v1.33.5-eks-ba24e9c" and "Kubernetes v1.29.0", the output of
/// `kubelet --version`. Nothing for any other text. Pure.
std::optional<KubernetesVersion> parse_kubernetes_version(std::string_view text);

/// The settings for KubeletConfiguration on a machine with these images. A setting without a value
/// is a hint: check it, but there is no value to write. A kubelet does not start with an unknown
/// setting, so settings that are too new for `kubelet`, or for an unknown version, are held back.
/// Pure.
v1::KubeletAdvice advise_kubelet(const v1::BakeRecord& record,
                                 std::optional<KubernetesVersion> kubelet);

/// The advice as YAML to merge into a KubeletConfiguration. Each setting has its reason as a
/// comment; a setting that is held back is a comment itself.
std::string to_yaml(const v1::KubeletAdvice& advice);

/// Which pods may use the image without a pull, according to a record of the kubelet.
enum class PodAccess { every_pod, with_credentials, no_pod };

/// One record of the kubelet's image manager (KEP-2535).
struct PullRecord {
    std::filesystem::path file;
    std::string image_id;                       ///< imageRef: CRI's ID of the image
    std::map<std::string, PodAccess> known_as;  ///< by repository
};

/// Records that the kubelet started a pull. It is left if the kubelet exits during the pull.
struct PullIntent {
    std::filesystem::path file;
    std::string image;  ///< the name in the pod: "nginx:1.27"
};

struct PullRecords {
    std::vector<PullRecord> pulled;
    std::vector<PullIntent> pulling;
};

/// Reads `kubelet_root`/image_manager/pulled and pulling; empty if they do not exist. Unreadable
/// files and exceeded limits are reported in `warnings`.
PullRecords read_pull_records(const std::filesystem::path& kubelet_root,
                              std::vector<std::string>& warnings);

/// Finds what makes the kubelet pull a baked image although it is present: records with its ID that
/// do not let every pod use it by the repository that it was baked from (one clash per repository),
/// and for images without a record, intents to pull them. Pure.
std::vector<v1::PullRecordClash> find_clashes(const v1::BakeRecord& record,
                                              const PullRecords& records);

}  // namespace prebake::kubelet
