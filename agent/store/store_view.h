#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "agent/containerd/connection.h"
#include "agent/containerd/cri.h"
#include "agent/store/holdings.h"
#include "agent/store/storage.h"

namespace prebake::store {

/// What containerd holds, for a look at many images: each kind of thing is read once, when it is
/// first asked for. Every method may throw Error: unavailable, timed_out, cancelled. Not
/// thread-safe.
class StoreView {
  public:
    explicit StoreView(const containerd::Connection& connection);

    /// Valid as long as this object.
    const Holdings& holdings(const std::string& ns, const std::string& snapshotter);
    /// True if the blob's file is there to its last byte.
    bool is_readable(const std::string& ns, const containerd::BlobInfo& blob) const;

    bool has_cri() const { return cri_.has_value(); }
    /// The image that a pod gets by this name, by its ID; empty if CRI would pull. Needs has_cri().
    std::string cri_image(const std::string& name);

  private:
    using Ids = std::map<std::string, std::string>;  // by name

    const containerd::Connection& connection_;
    Storage storage_;
    std::optional<containerd::Cri> cri_;
    std::optional<Ids> cri_images_;
    std::map<std::pair<std::string, std::string>, Holdings> holdings_;
};

}  // namespace prebake::store
