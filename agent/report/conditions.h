#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/containerd/cri.h"
#include "agent/guard/docker_store.h"
#include "agent/guard/image_health.h"
#include "agent/report/identity_conditions.h"
#include "agent/report/node_hydration.h"
#include "proto/prebake/v1/node.pb.h"

/// Derives the node's conditions and its verdict from facts. Pure.
namespace prebake::report {

inline constexpr std::string_view kContainerdServing = "ContainerdServing";
inline constexpr std::string_view kImagesPresent = "ImagesPresent";
inline constexpr std::string_view kImagesUnpacked = "ImagesUnpacked";
inline constexpr std::string_view kImagesPinned = "ImagesPinned";
inline constexpr std::string_view kCriResolves = "CriResolves";
inline constexpr std::string_view kBakeIntact = "BakeIntact";
inline constexpr std::string_view kStoreMatches = "StoreMatches";
inline constexpr std::string_view kIdentityClaimed = "IdentityClaimed";
inline constexpr std::string_view kSealIntact = "SealIntact";
inline constexpr std::string_view kEndpointListening = "EndpointListening";
inline constexpr std::string_view kHydrated = "Hydrated";

/// In the order of reports.
const std::vector<std::string_view>& condition_types();

/// True, or it is about nothing on this machine.
bool is_met(const v1::Condition& condition);

/// Why they may never answer: what starts them waits for this node to be ready. Empty: it does not.
struct OrderProblems {
    std::string containerd = {};
    std::string docker = {};
};

/// dockerd, if images were baked for it.
struct DockerFacts {
    bool is_wanted = false;  ///< images were baked for it
    bool is_answering = false;
    std::string problem = {};  ///< why it does not answer; empty: it was not asked yet
    std::string next_step = {};
    std::string store = {};  ///< guard::describe_store()
    std::optional<guard::StoreMismatch> mismatch = {};
    /// What is in a graph driver was checked, or nothing is.
    bool is_checked = true;
};

/// What the conditions are derived from. The daemon's loop is the only writer.
struct NodeFacts {
    bool needs_containerd = true;  ///< an image is there, or nothing was baked
    bool is_serving = false;       ///< containerd answers
    std::string serving_problem;   ///< why not
    OrderProblems order_problems;
    bool is_reconciled = false;  ///< `images` is about this containerd, and this dockerd
    std::string record_problem;  ///< the bake record cannot be read
    containerd::CriService cri;
    std::string snapshotter;
    std::string content_directory;  ///< containerd's content store; empty: unknown
    std::string sandbox_image;
    bool is_sandbox_missing = false;  ///< CRI names one, and containerd has no such image
    std::size_t recorded = 0;         ///< images in the bake record
    std::vector<guard::ImageHealth> images;
    DockerFacts docker = {};
    IdentityFacts identity;
    std::string endpoint_problem;  ///< where the endpoint does not listen, and why
    HydrationFacts hydration = {};
};

/// The conditions at `now`. `before` are the previous ones: a condition whose status is the same
/// keeps its last_transition_time. `gates` are the types that gate readiness.
std::vector<v1::Condition> evaluate(const NodeFacts& facts,
                                    const std::vector<v1::Condition>& before,
                                    const std::vector<std::string>& gates,
                                    std::chrono::system_clock::time_point now);

struct Verdict {
    std::string word;     ///< ready, degraded, not_ready, starting
    std::string message;  ///< one sentence: the first problem, and how many more there are
    bool is_ready = false;
};
/// The word is `starting` until is_reconciled.
Verdict verdict_of(const std::vector<v1::Condition>& conditions, bool is_reconciled);

}  // namespace prebake::report
