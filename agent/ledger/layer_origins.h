#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/timestamp.h"
#include "agent/ledger/catalog.h"
#include "agent/oci/digest.h"
#include "agent/store/baked_images.h"
#include "agent/store/holdings.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

/// Limit of the pulled layers whose bytes are known to be counted. Beyond this limit a layer that
/// several images were pulled with counts more than once.
inline constexpr std::size_t kMaxCountedPulls = 16384;

/// A pull does not take longer. After a restart, parts that were stored earlier than this before
/// the end of the last run do not belong to a pull that was still running then.
inline constexpr std::chrono::hours kLongestPull{1};

/// Limit of the settled parts in the file. Beyond this limit the oldest parts are left out, and all
/// parts of their age count as settled: it is better to miss a pull than to count it twice.
inline constexpr std::size_t kMaxSettledParts = 4096;

/// Knows where each layer came from. A baked layer is one of the record. It becomes a pulled layer
/// when its blob is stored again, or when its snapshot is made again without the baked blob. This
/// compares what is there with what was there before. Where nothing was known before, because the
/// daemon has just started, it uses the times when things were stored. A part is a layer's blob or
/// snapshot; it is settled if its pull is counted or if it was not pulled. Pure.
class LayerOrigins {
  public:
    /// The ledger does not have what was stored from `uncounted_since` on: baked layers of that
    /// time were pulled, unless their bake stored them or an earlier run of the daemon settled
    /// them. `looked_until` is the time of the last news that the earlier run had.
    void open(Time uncounted_since, Time looked_until);
    /// What an earlier run of the daemon knew: the pulled baked layers, and the settled parts.
    void load(const v1::LedgerState& stored);
    /// `looked_until` is the time of the last news. Before all_listed() older parts may be new.
    void store(v1::LedgerState& out, Time looked_until) const;
    /// learn_all() was called for every namespace since open().
    void all_listed() { is_all_listed_ = true; }
    /// Drops all pulls: they belong to another machine.
    void forget_pulls();

    void set_baked(const store::BakedImages& baked);
    /// Adds the layers of an image that counts as baked and is not recorded.
    void add_baked(const CatalogImage& image);

    void learn_blob(const std::string& ns, const oci::Digest& digest, Time stored_at);
    /// Does nothing if the blob was stored after `at`: a listing was faster than the event.
    void forget_blob(const std::string& ns, const oci::Digest& digest, Time at);
    enum class Committer { prebake, other };
    void learn_commit(const std::string& ns, const oci::Digest& chain, Committer committer,
                      Time at);
    /// Like forget_blob().
    void forget_chain(const std::string& ns, const oci::Digest& chain, Time at);
    void learn_all(const store::Holdings& holdings);
    /// The baked parts in `holdings` count as baked, as they are now.
    void restored(const store::Holdings& holdings);

    bool has_chain(const std::string& ns, const oci::Digest& chain) const;
    bool is_baked(const std::string& ns, const ImageLayer& layer) const;
    struct Pulled {
        std::uint64_t bytes = 0;
        bool any = false;
        Time stored_at{};  ///< of the last layer
    };
    /// Settles the layers of the image that were pulled since the last call.
    /// Each layer counts once over all images and namespaces for as long as it is on the disk.
    Pulled take_pulled(const CatalogImage& image);
    /// The ledger already has the bytes that were pulled for the image.
    void note_counted(const CatalogImage& image);

    /// Whether a baked layer or snapshot of the image was deleted and did not come back.
    bool has_lost(const CatalogImage& image) const;
    void forget_lost(const CatalogImage& image);

  private:
    struct Blob {
        Time stored_at{};
        bool is_fresh = false;  ///< pulled, and not settled
    };
    struct Chain {
        Time made_at{};
        bool is_fresh = false;  ///< pulled, and not settled
    };
    struct Space {
        oci::DigestMap<Blob> blobs;
        oci::DigestMap<Chain> chains;
        oci::DigestMap<oci::Digest> baked_chains;  ///< -> the layer's digest
        oci::DigestSet pulled;                     ///< baked layers that were pulled
        oci::DigestSet lost;                       ///< baked layers and chains
        bool is_listed = false;
    };
    struct BakedLayer {
        Time baked_at{};
        bool is_kept = false;
    };
    /// A settled part is known by the time when it was stored.
    using Parts = std::vector<std::pair<Time, oci::Digest>>;

    bool is_there(const oci::Digest& digest, const Space* except = nullptr) const;
    bool is_of_bake(const oci::Digest& digest, Time at) const;
    bool is_chain_of_bake(const Space& space, const oci::Digest& chain, Time at) const;
    Parts settled_since(Time since) const;
    bool was_settled(const oci::Digest& part, Time at) const;
    bool is_late(const oci::Digest& digest, Time at) const;
    bool is_fresh_chain(const Space& space, const oci::Digest& chain) const;
    void set_pulled(Space& space, const oci::Digest& digest);
    void learn_chain(Space& space, const oci::Digest& chain, Time made_at);
    void drop_chain(Space& space, const oci::Digest& chain);
    enum class Trace { blob, chain };  ///< which part showed the pull
    bool count_pull(const ImageLayer& layer, Trace trace);
    void uncount_if_gone(const oci::Digest& digest);

    std::map<std::string, Space, std::less<>> spaces_;
    oci::DigestMap<BakedLayer> baked_;
    oci::DigestSet pulled_anywhere_;  ///< baked layers
    oci::DigestSet known_pulled_;     ///< those of them that an earlier run of the daemon saw
    struct CountedPull {
        bool has_lost_blob = false;  ///< if the blob is stored again, it was pulled again
    };
    oci::DigestMap<CountedPull> counted_pulls_;
    oci::DigestMap<oci::Digest> counted_chains_;  ///< -> the layer in counted_pulls_
    oci::DigestMap<Time> settled_;  ///< parts that an earlier run of the daemon settled
    Time uncounted_since_{};
    Time looked_until_{};
    bool is_all_listed_ = false;
};

}  // namespace prebake::ledger
