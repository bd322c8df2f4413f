#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/timestamp.h"
#include "agent/guard/activity_log.h"
#include "agent/guard/protected_images.h"
#include "agent/ledger/accounts.h"
#include "proto/prebake/v1/identity.pb.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::daemon {

/// The ledger with its file: the accounts, the gaps in them, and what else must survive a restart
/// of the daemon (which images the pin budget unpinned or the guard restored, when this boot was
/// first ready).
class DurableLedger {
  public:
    /// Reads the file. @throws Error as ledger::read_ledger() and read_boot_id().
    DurableLedger(std::filesystem::path state_dir, guard::ActivityLog& log, TimeSource clock);

    ledger::Accounts& accounts() { return accounts_; }
    const std::string& boot_id() const { return boot_id_; }

    /// Sets whose counts these are. True if they belonged to another claim until now: those counts
    /// are dropped, and what runs has to be listed.
    bool open(const v1::Claim& claim);
    /// Which images an earlier run of the daemon unpinned, for the same claim.
    void load_unpinned(guard::ProtectedImages& images) const { images.load(unpinned_); }
    /// The same for images of Docker whose names were restored.
    void load_restored(guard::ProtectedImages& images) const { images.load(restored_); }

    /// When this boot was first ready.
    const v1::Times& times() const { return times_; }
    /// Kept if this boot has none so far.
    void set_times(const v1::Times& times);

    /// Starts may be missed from then on. If called again before end_gap(), the first call counts.
    void begin_gap(const std::string& cause, Time from);
    /// Everything is listed, and `found` starts that no event reported were counted.
    void end_gap(Time now, std::size_t found);

    /// True once after each change that has to be saved and published.
    bool take_changed(guard::ProtectedImages& images);
    /// Writes the file if something changed. False if that failed: call it again later.
    bool save(const guard::ProtectedImages& images);

  private:
    v1::LedgerState load();

    struct PendingGap {
        std::string cause;
        Time from;
    };

    std::filesystem::path state_dir_;
    guard::ActivityLog& log_;
    TimeSource clock_;
    std::string boot_id_;
    std::optional<PendingGap> gap_;
    std::string claim_;  ///< of the file, then of open()
    google::protobuf::RepeatedPtrField<v1::UnpinnedImage> unpinned_;
    google::protobuf::RepeatedPtrField<v1::RestoredImage> restored_;
    v1::Times times_;
    bool has_new_times_ = false;
    bool is_open_ = false;
    bool is_unsaved_ = false;
    ledger::Accounts accounts_;  // last: it is made of what load() returns
};

}  // namespace prebake::daemon
