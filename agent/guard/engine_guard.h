#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/timestamp.h"
#include "agent/guard/activity_log.h"
#include "agent/guard/image_health.h"
#include "agent/guard/protected_images.h"
#include "agent/store/finding.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::guard {

/// A tag of a baked image that dockerd does not have any more.
struct LostTag {
    ImageKey key;
    std::string image_id;  ///< "sha256:…", by which dockerd may still have it
    std::string name;      ///< "docker.io/library/alpine:3.20"
};

/// The guard of images in a graph driver of dockerd: judges what a check found, and says which tags
/// to restore. Nothing else can be repaired without a registry. An image is named again once; if
/// its name is deleted again, somebody means it. No I/O; not thread-safe.
class EngineGuard {
  public:
    EngineGuard(ProtectedImages& images, ActivityLog& log, TimeSource clock)
        : images_(images), log_(log), clock_(std::move(clock)) {}

    /// The part of the record that is in a graph driver. Forgets what was known of others.
    void set_record(v1::BakeRecord record);
    const v1::BakeRecord& record() const { return record_; }

    /// What a check of record() has found, which began at `checked_at`. Returns the tags to
    /// restore.
    std::vector<LostTag> judge(const std::vector<store::Finding>& findings, Time checked_at);
    /// dockerd does not use a graph driver any more: it has none of the images.
    void judge_absent();
    /// Tries again what could not be restored.
    void start_over() { not_restorable_.clear(); }
    /// How that ended; nothing: the tag is there again. Call it before the judge() of what was
    /// found afterwards.
    void tagged(const LostTag& tag, const std::optional<Error>& problem);

    /// Whether the images of record() were checked.
    bool is_checked() const { return is_checked_; }
    const std::vector<ImageHealth>& images() const { return health_; }

  private:
    std::vector<LostTag> lost_tags(const std::vector<store::Finding>& findings,
                                   const ImageHealth& image) const;
    void note_removed(const ImageKey& key);

    ProtectedImages& images_;
    ActivityLog& log_;
    TimeSource clock_;
    v1::BakeRecord record_;
    std::vector<ImageHealth> health_;
    std::set<std::pair<ImageKey, std::string>> not_restorable_;  ///< dockerd has no such image
    std::set<ImageKey> seen_;                                    ///< was as baked at some check
    std::set<ImageKey> repaired_;
    bool is_checked_ = true;
};

}  // namespace prebake::guard
