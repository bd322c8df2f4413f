#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/cri.h"
#include "agent/store/holdings.h"
#include "agent/store/storage.h"

namespace prebake::store {

/// The CRI service that answered with `error`: it is there, and of no use to pods.
containerd::CriService failed_cri(const Error& error);

/// What containerd holds, for a check of many images: each kind of object is listed once, on first
/// use. Every method may throw Error: unavailable, timed_out, cancelled. Not thread-safe.
class StoreView {
  public:
    /// CRI that answers with an error does not keep the rest from being looked at.
    explicit StoreView(const containerd::Connection& connection);

    /// Where containerd keeps its content. Valid as long as this object.
    const Storage& storage() const { return storage_; }
    /// Valid as long as this object. `snapshotter` may be empty: no snapshots.
    const Holdings& holdings(const std::string& ns, const std::string& snapshotter);
    /// True if the blob's file is complete.
    bool is_readable(const std::string& ns, const containerd::BlobInfo& blob) const;

    /// Whether CRI answers.
    const containerd::CriService& cri_service() const { return cri_service_; }
    /// What it answered instead, if that was an error.
    const std::optional<Error>& cri_failure() const { return cri_failure_; }
    /// The image that a pod gets by this name; null if CRI would pull. CRI must answer. Valid as
    /// long as this object.
    const containerd::CriImage* cri_image(const std::string& name);

  private:
    const containerd::Connection& connection_;
    Storage storage_;
    containerd::CriService cri_service_;
    std::optional<Error> cri_failure_;
    std::optional<std::vector<containerd::CriImage>> cri_images_;
    std::map<std::string, const containerd::CriImage*> cri_names_;
    std::map<std::pair<std::string, std::string>, Holdings> holdings_;
};

}  // namespace prebake::store
