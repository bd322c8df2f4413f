#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/stream.h"
#include "agent/containerd/content.h"
#include "agent/oci/digest.h"
#include "agent/oci/manifest.h"
#include "agent/store/labels.h"

namespace prebake::bake {

/// The content store as BlobFetcher uses it: all calls that write do so under the bake's lease.
/// Thread-safe. Errors are those of containerd::Content.
class BlobStore {
  public:
    virtual ~BlobStore() = default;

    virtual std::optional<containerd::BlobInfo> info(const std::string& ns,
                                                     const oci::Digest& digest) const = 0;
    /// True if the blob's file is complete.
    virtual bool is_readable(const std::string& ns, const containerd::BlobInfo& blob) const = 0;
    virtual std::unique_ptr<Source> read(const std::string& ns, const oci::Digest& digest,
                                         std::uint64_t offset) const = 0;

    /// Null if the namespace has the blob; it is then under the lease too.
    virtual std::unique_ptr<containerd::BlobWriter> open_writer(
        const std::string& ns, const oci::Descriptor& blob) const = 0;
    /// Stores a small blob. If the namespace has it already, puts it under the lease and adds the
    /// labels.
    virtual void put(const std::string& ns, const oci::Descriptor& blob, std::string_view bytes,
                     const store::Labels& labels) const = 0;
    virtual void set_labels(const std::string& ns, const oci::Digest& digest,
                            const store::Labels& labels) const = 0;
    /// Removes the blob from the namespace, and its file if no other namespace has it.
    virtual void remove(const std::string& ns, const oci::Digest& digest) const = 0;

    /// Runs `work`, calls to this store that may be repeated, again if containerd restarts in the
    /// middle. `image` is the name for the notice about it.
    virtual void outlast_restart(const std::string& image,
                                 const std::function<void()>& work) const = 0;
};

}  // namespace prebake::bake
