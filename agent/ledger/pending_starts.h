#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "agent/base/timestamp.h"
#include "agent/ledger/snapshot_table.h"
#include "agent/oci/digest.h"

namespace prebake::ledger {

/// Limit of the snapshots that wait for their container's start. Beyond it the oldest are dropped,
/// and found again by the next listing.
inline constexpr std::size_t kMaxPendingStarts = 8192;

/// A snapshot that was prepared for a container whose process is not known to have started.
struct PendingStart {
    oci::Digest chain;                    ///< the top layer of the image that it is on
    std::string image = {};               ///< the name that the container gives; empty: not known
    std::optional<Time> created_at = {};  ///< the container; nothing: not known
};

/// They stay after the snapshot is deleted: of a container that ran for a moment, the start may be
/// reported last, because another process (the shim) sends that event.
class PendingStarts {
  public:
    void add(const std::string& ns, const std::string& key, PendingStart start);
    /// Does nothing if there is no such snapshot.
    void set_container(const std::string& ns, const std::string& key, const std::string& image,
                       std::optional<Time> created_at);
    /// Null if there is none. Valid until the next change.
    const PendingStart* find(const std::string& ns, const std::string& key) const;
    /// False if there is no such snapshot.
    bool rename(const std::string& ns, const std::string& key, const std::string& name);
    void remove(const std::string& ns, const std::string& key);
    void clear(const std::string& ns);

  private:
    SnapshotTable<PendingStart> starts_{kMaxPendingStarts};
};

}  // namespace prebake::ledger
