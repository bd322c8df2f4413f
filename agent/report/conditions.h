#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "agent/guard/image_health.h"
#include "proto/prebake/v1/identity.pb.h"
#include "proto/prebake/v1/node.pb.h"

/// What the node says of itself, from what is known. Pure.
namespace prebake::report {

inline constexpr std::string_view kContainerdServing = "ContainerdServing";
inline constexpr std::string_view kImagesPresent = "ImagesPresent";
inline constexpr std::string_view kImagesUnpacked = "ImagesUnpacked";
inline constexpr std::string_view kImagesPinned = "ImagesPinned";
inline constexpr std::string_view kCriResolves = "CriResolves";
inline constexpr std::string_view kIdentityClaimed = "IdentityClaimed";
inline constexpr std::string_view kSealIntact = "SealIntact";

/// In the order of reports.
const std::vector<std::string_view>& condition_types();

/// Who this machine is, as `identity` knows it (which this room does not).
struct IdentityFacts {
    v1::Claim claim;
    bool is_this_instance = true;                 ///< the claim is of the machine that runs
    std::vector<std::string> builder_identities;  ///< of the sealed machine, and here still: paths
    std::string problem;  ///< why the claim could not be read; empty: it was
};

struct NodeFacts {
    bool is_serving = false;      ///< containerd answers
    std::string serving_problem;  ///< why not
    bool is_reconciled = false;   ///< `images` is about this containerd
    std::string record_problem;   ///< the bake record cannot be read
    bool has_cri = false;         ///< containerd's CRI plugin answers
    std::string snapshotter;
    std::string content_directory;  ///< containerd's content store; empty: it does not say
    std::string sandbox_image;
    bool is_sandbox_missing = false;  ///< CRI names one, and containerd has no such image
    std::vector<guard::ImageHealth> images;
    IdentityFacts identity;
};

/// The conditions of now. `before` are those of last time: where the status is the same, so is its
/// last_transition_time. `gates` are the types that gate readiness.
std::vector<v1::Condition> evaluate(const NodeFacts& facts,
                                    const std::vector<v1::Condition>& before,
                                    const std::vector<std::string>& gates,
                                    std::chrono::system_clock::time_point now);

struct Verdict {
    std::string word;     ///< ready, degraded, not_ready, starting
    std::string message;  ///< one sentence: the first thing that is wrong, and how many more
    bool is_ready = false;
};
/// `starting` until the first reconciliation has ended.
Verdict verdict_of(const std::vector<v1::Condition>& conditions, bool is_reconciled);

}  // namespace prebake::report
