#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "agent/base/timestamp.h"
#include "agent/ledger/catalog.h"
#include "agent/ledger/counted_starts.h"
#include "agent/ledger/start_class.h"
#include "agent/store/baked_images.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

/// Beyond this limit the least used images that were not baked are merged into `other`.
inline constexpr std::size_t kMaxLedgerImages = 1000;
/// Beyond this limit the oldest gaps are dropped.
inline constexpr int kMaxGaps = 32;

/// The counts: entries of images, totals, gaps. The totals since the claim are always the sums of
/// the entries. Pure.
class LedgerTotals {
  public:
    explicit LedgerTotals(const v1::LedgerState& stored);

    enum class Opening {
        continued,  ///< the same boot: the stored counts continue
        rebooted,   ///< another boot of the same claim: the boot's totals start at zero
        began,      ///< another claim: everything starts at zero
    };
    Opening open(const std::string& claim, const std::string& boot_id, Time now);

    /// The time of the last event or listing.
    Time updated_at() const { return to_time(head_.updated_at()); }
    /// Does nothing if `time` is earlier than updated_at(): the clock was set back.
    void update_to(Time time);

    /// An image has an entry for each digest that its name pointed to; null without an entry.
    const v1::LedgerImage* find(const store::ImageKey& key, const std::string& digest) const;
    const v1::LedgerImage* find(const CatalogImage& image) const;
    /// The entry at the first call for it, if it is from the file; else null.
    const v1::LedgerImage* take_loaded(const CatalogImage& image);
    /// The entry; a new one if there is none. Valid until the next call.
    v1::LedgerImage& entry(const store::ImageKey& key, const std::string& digest);
    v1::LedgerImage& entry(const CatalogImage& image);

    /// Bytes of baked layers that a start used first.
    struct Served {
        std::uint64_t since_claim = 0;
        std::uint64_t in_boot = 0;
    };
    void count(v1::LedgerImage& entry, StartClass start, Served served, Time at);
    enum class Disk {
        usual,  ///< it does not load lazily, or that is not known
        hydrated,
        cold,
    };
    /// The first start of a baked image in a boot, from the creation of the container.
    struct FirstStart {
        Time::duration took{};
        Disk disk = Disk::usual;
    };
    void note_first_start(v1::LedgerImage& entry, FirstStart start);
    void add_pulled(v1::LedgerImage& entry, std::uint64_t bytes);
    /// A pull that add_pulled() counted was none: the bake itself fetched it. Removes an entry
    /// without other counts.
    void take_back_pull(const store::ImageKey& key, const std::string& digest, std::uint64_t bytes,
                        std::uint64_t pulls);
    void add_gap(Time from, Time to, const std::string& cause, std::size_t found);

    CountedStarts& counted() { return counted_; }
    const CountedStarts& counted() const { return counted_; }

    /// For the file; without what LayerOrigins and others add.
    v1::LedgerState state() const;
    /// For people, with ratios; without `never_used`, which needs the catalog.
    v1::Ledger report() const;

  private:
    /// (image, digest of the target)
    using EntryKey = std::pair<store::ImageKey, std::string>;

    static EntryKey key_of(const CatalogImage& image);
    /// Adds the entries, most used first.
    void add_images_to(google::protobuf::RepeatedPtrField<v1::LedgerImage>& images) const;
    void merge_least_used(const EntryKey& except);

    v1::Ledger head_;  ///< all but images and counted starts
    std::map<EntryKey, v1::LedgerImage> images_;
    std::set<EntryKey> loaded_;  ///< for take_loaded()
    CountedStarts counted_;
};

}  // namespace prebake::ledger
