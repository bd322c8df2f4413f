#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "agent/containerd/connection.h"
#include "agent/guard/pin_budget.h"

namespace prebake::guard {

/// Measures containerd's disk. Every call throws Error unavailable or cancelled if containerd goes
/// away.
class DiskUsage {
  public:
    virtual ~DiskUsage() = default;

    /// The disk that has the snapshotter's directory; nothing if that is not visible from here.
    virtual std::optional<DiskRoom> room(const std::string& snapshotter) = 0;
    /// What a snapshot takes on the disk; 0 if it does not exist.
    virtual std::uint64_t layer_bytes(const std::string& ns, const std::string& snapshotter,
                                      const std::string& chain_id) = 0;
    /// Call this when another containerd may answer: it may have other directories.
    virtual void forget_directories() = 0;
};

class ContainerdDiskUsage final : public DiskUsage {
  public:
    explicit ContainerdDiskUsage(const containerd::Connection& connection)
        : connection_(connection) {}

    std::optional<DiskRoom> room(const std::string& snapshotter) override;
    std::uint64_t layer_bytes(const std::string& ns, const std::string& snapshotter,
                              const std::string& chain_id) override;
    void forget_directories() override { directory_.reset(); }

  private:
    const containerd::Connection& connection_;
    std::optional<std::filesystem::path> directory_;    ///< of containerd; empty: not visible
    std::map<std::string, std::uint64_t> layer_bytes_;  ///< measured once: snapshots never change
};

}  // namespace prebake::guard
