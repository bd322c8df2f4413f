#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "agent/base/timestamp.h"
#include "agent/guard/activity_log.h"
#include "agent/guard/protected_images.h"
#include "agent/ledger/accounts.h"
#include "proto/prebake/v1/identity.pb.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::daemon {

/// The ledger from its file back to its file: the accounts, the gaps in them, and what else has to
/// outlive the daemon.
class DurableLedger {
  public:
    /// Reads the file. @throws Error as ledger::read_ledger() and read_boot_id().
    DurableLedger(std::filesystem::path state_dir, guard::ActivityLog& log);

    ledger::Accounts& accounts() { return accounts_; }
    const std::string& boot_id() const { return boot_id_; }

    /// Says whose counts these are. True if they were another's until now: what was counted is
    /// gone, and what runs is to be listed.
    bool open(const v1::Claim& claim);
    /// What an earlier run of the daemon had unpinned, for this claim.
    void load_unpinned(guard::ProtectedImages& images) const { images.load(unpinned_); }

    /// When this boot was ready first.
    const v1::Times& times() const { return times_; }
    /// Kept if they are the first of this boot.
    void note_times(const v1::Times& times);

    /// From then on starts may have gone unseen. Of several times the first counts.
    void expect_gap(const std::string& cause, Time from);
    /// All is listed, and so many starts were found.
    void end_gap(Time now, std::size_t found);

    /// True once after each change that is to be saved and published.
    bool take_changed(guard::ProtectedImages& images);
    /// Writes what changed. False if it could not: it is to be tried again.
    bool save(const guard::ProtectedImages& images);

  private:
    v1::LedgerState load();

    struct PendingGap {
        std::string cause;
        Time from;
    };

    std::filesystem::path state_dir_;
    guard::ActivityLog& log_;
    std::string boot_id_;
    std::optional<PendingGap> gap_;
    std::string claim_;  ///< of what is stored, then of what is open
    google::protobuf::RepeatedPtrField<v1::UnpinnedImage> unpinned_;
    v1::Times times_;
    bool has_news_ = false;
    bool is_open_ = false;
    bool is_unsaved_ = false;
    ledger::Accounts accounts_;  // last: made of what load() returns
};

}  // namespace prebake::daemon
