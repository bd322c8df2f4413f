#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "agent/containerd/connection.h"
#include "agent/store/finding.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::store {

/// The blobs that must be there, with their sizes.
std::map<std::string, std::uint64_t> blobs_of(const v1::BakedImage& image,
                                              const v1::Placement& placement);

/// Reads each blob once, even if several images and namespaces share it.
class ContentCheck {
  public:
    /// Both must live longer.
    ContentCheck(const containerd::Connection& connection, Verification& result)
        : connection_(connection), result_(result) {}

    /// Reads the blobs of the image that were not read yet. @throws Error if containerd does not
    /// answer; cancelled.
    void run(const v1::BakedImage& image, const v1::Placement& placement);

    /// The caller has read a blob of the image in `ns`; `damage` is empty, or what it has instead.
    void has_read(const v1::BakedImage& image, const std::string& ns, const std::string& digest,
                  const std::string& damage);

  private:
    const containerd::Connection& connection_;
    Verification& result_;
    std::set<std::string> read_;  ///< digests
};

}  // namespace prebake::store
