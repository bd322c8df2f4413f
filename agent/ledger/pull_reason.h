#pragma once

#include <string_view>

/// Why an image was pulled although so much was baked. Pure.
namespace prebake::ledger {

inline constexpr std::string_view kTagMoved = "tag_moved";
inline constexpr std::string_view kLatestTag = "latest_tag";
inline constexpr std::string_view kOtherName = "other_name";
inline constexpr std::string_view kOtherNamespace = "other_namespace";
inline constexpr std::string_view kSnapshotMissing = "snapshot_missing";
inline constexpr std::string_view kGarbageCollected = "garbage_collected";
inline constexpr std::string_view kPulledAgain = "pulled_again";
inline constexpr std::string_view kNeverListed = "never_listed";

/// How an image stands to the record.
struct PullFacts {
    std::string_view name;
    bool is_baked = false;            ///< in the record for this namespace: this name, this target
    bool is_baked_name = false;       ///< in the record for this namespace: this name, some target
    bool is_baked_here = false;       ///< its manifest or config is, for this namespace
    bool is_baked_elsewhere = false;  ///< its name, manifest or config is, for other namespaces
    bool has_lost_parts = false;      ///< a name, layer or snapshot of it went away behind our back
    bool was_chain_missing = false;   ///< when everything was listed last
};

std::string_view pull_reason(const PullFacts& facts);

}  // namespace prebake::ledger
