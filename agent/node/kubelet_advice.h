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

namespace prebake::node {

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

/// The records below `kubelet_root`/image_manager/pulled; none if there is no such directory. A
/// file that cannot be read as one is named in `warnings`, and so is what is over our limits.
std::vector<PullRecord> read_pull_records(const std::filesystem::path& kubelet_root,
                                          std::vector<std::string>& warnings);

/// The records that make the kubelet pull a baked image although it is there: they know its id, and
/// do not let every pod use it by the repository that it was baked from. One clash for each such
/// repository. Pure.
std::vector<v1::PullRecordClash> find_clashes(const v1::BakeRecord& record,
                                              const std::vector<PullRecord>& records);

}  // namespace prebake::node
