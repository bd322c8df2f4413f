#pragma once

#include <string_view>

/// Why an image was pulled, or why it is not a hit. Pure.
namespace prebake::ledger {

inline constexpr std::string_view kTagMoved = "tag_moved";
inline constexpr std::string_view kLatestTag = "latest_tag";
inline constexpr std::string_view kOtherName = "other_name";
inline constexpr std::string_view kOtherNamespace = "other_namespace";
inline constexpr std::string_view kSnapshotMissing = "snapshot_missing";
inline constexpr std::string_view kGarbageCollected = "garbage_collected";
inline constexpr std::string_view kPulledAgain = "pulled_again";
inline constexpr std::string_view kNeverListed = "never_listed";

/// How an image relates to the bake record.
struct PullFacts {
    std::string_view name;
    bool is_baked = false;            ///< the record has this name and target, in this namespace
    bool is_baked_name = false;       ///< the record has this name, in this namespace
    bool is_baked_here = false;       ///< it has the manifest or config, in this namespace
    bool is_baked_elsewhere = false;  ///< it has name, manifest or config, in another namespace
    bool has_lost_parts = false;      ///< somebody deleted a name, layer or snapshot of the image
    bool was_chain_missing = false;   ///< it was not unpacked at the last listing
};

std::string_view pull_reason(const PullFacts& facts);

}  // namespace prebake::ledger
