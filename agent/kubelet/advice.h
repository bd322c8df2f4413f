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

/// Of "1.35", "v1.36.2", "v1.33.5-eks-ba24e9c", and of "Kubernetes v1.29.0", as `kubelet --version`
/// prints it. Nothing if it is none. Pure.
std::optional<KubernetesVersion> parse_kubernetes_version(std::string_view text);

/// What belongs in KubeletConfiguration on a machine with these images. A setting without a value
/// is a hint: what to look at, but not what to write. A kubelet does not start with a setting that
/// it does not know: what `kubelet` is too old for, or may be if it is not known, is held back.
/// Pure.
v1::KubeletAdvice advise_kubelet(const v1::BakeRecord& record,
                                 std::optional<KubernetesVersion> kubelet);

/// The advice as YAML to merge into a KubeletConfiguration, each setting with its reason as a
/// comment; what is held back is a comment altogether.
std::string to_yaml(const v1::KubeletAdvice& advice);

/// Which pods a record of the kubelet lets use the image without a pull.
enum class PodAccess { every_pod, with_credentials, no_pod };

/// One record of the kubelet's image manager (KEP-2535).
struct PullRecord {
    std::filesystem::path file;
    std::string image_id;                       ///< imageRef: CRI's id of the image
    std::map<std::string, PodAccess> known_as;  ///< by repository
};

/// That the kubelet began to pull. It is left behind when the kubelet ends meanwhile.
struct PullIntent {
    std::filesystem::path file;
    std::string image;  ///< as the pod names it: "nginx:1.27"
};

struct PullRecords {
    std::vector<PullRecord> pulled;
    std::vector<PullIntent> pulling;
};

/// What is below `kubelet_root`/image_manager, in pulled and pulling; nothing if there are no such
/// directories. A file that cannot be read as one is named in `warnings`, and so is what is over
/// our limits.
PullRecords read_pull_records(const std::filesystem::path& kubelet_root,
                              std::vector<std::string>& warnings);

/// What makes the kubelet pull a baked image although it is there. Records that know its id, and do
/// not let every pod use it by the repository that it was baked from: one clash for each such
/// repository. Where there is no record, the intents of pulls of it. Pure.
std::vector<v1::PullRecordClash> find_clashes(const v1::BakeRecord& record,
                                              const PullRecords& records);

}  // namespace prebake::kubelet
