#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "agent/base/timestamp.h"
#include "agent/ledger/catalog.h"
#include "agent/ledger/counted_starts.h"
#include "agent/ledger/start_class.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

/// Of more images the least used ones that were not baked fold into `other`.
inline constexpr std::size_t kMaxLedgerImages = 1000;
inline constexpr int kMaxGaps = 32;

/// The counts themselves: entries, totals, gaps. The totals since the claim are at any time the
/// sums of the entries.
class LedgerTotals {
  public:
    explicit LedgerTotals(v1::Ledger stored);

    enum class Opening {
        continued,  ///< the same boot: what is stored goes on
        rebooted,   ///< another one of the same claim: its own totals are new
        began,      ///< another claim: everything is new
    };
    Opening open(const std::string& claim, const std::string& boot_id, Time now);

    /// When the stored ledger was last brought up to date.
    Time updated_at() const { return to_time(head_.updated_at()); }
    /// Does nothing when the clock was set back: what is older is in the ledger all the same.
    void update_to(Time time);
    Time since() const { return to_time(head_.since()); }
    const std::string& boot_id() const { return head_.boot_id(); }

    const v1::LedgerImage* find(const std::string& ns, const std::string& name,
                                const std::string& digest) const;
    const v1::LedgerImage* find(const CatalogImage& image) const;
    /// The entry if it was stored before and is asked for the first time; else null.
    const v1::LedgerImage* take_loaded(const CatalogImage& image);
    /// The entry, new if need be. Valid until the next call.
    v1::LedgerImage& entry(const std::string& ns, const std::string& name,
                           const std::string& digest);
    v1::LedgerImage& entry(const CatalogImage& image);

    struct Served {
        std::uint64_t since_claim = 0;  ///< bytes that were not counted before
        std::uint64_t in_boot = 0;      ///< likewise
    };
    void count(v1::LedgerImage& entry, StartClass start, Served served, Time at);
    void add_pulled(v1::LedgerImage& entry, std::uint64_t bytes);
    void add_gap(Time from, Time to, const std::string& cause, std::size_t found);

    CountedStarts& counted() { return counted_; }
    const CountedStarts& counted() const { return counted_; }

    v1::Ledger stored() const;
    /// Without `never_used`, which only the catalog knows.
    v1::Ledger report() const;

  private:
    /// (namespace, name, digest), by which entries are told apart.
    static std::string key_of(const std::string& ns, const std::string& name,
                              const std::string& digest);
    v1::Ledger listed() const;
    void fold_but(const std::string& kept);

    v1::Ledger head_;  ///< all but images and counted
    std::unordered_map<std::string, v1::LedgerImage> images_;
    std::unordered_set<std::string> loaded_;  ///< keys, for take_loaded()
    CountedStarts counted_;
};

}  // namespace prebake::ledger
