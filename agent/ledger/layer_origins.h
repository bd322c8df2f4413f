#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/timestamp.h"
#include "agent/ledger/catalog.h"
#include "agent/oci/digest.h"
#include "agent/store/holdings.h"
#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

/// Beyond this a layer that several images were pulled with counts more than once.
inline constexpr std::size_t kMaxCountedPulls = 16384;

/// What was stored earlier than this before the end of a run of the daemon belongs to no pull that
/// was under way then.
inline constexpr std::chrono::hours kLongestPull{1};

/// Parts of layers in the file that are younger than that. Of more the oldest are left out, and
/// what else is as old counts as known too: rather a pull is missed than one counted twice.
inline constexpr std::size_t kMaxSettledParts = 4096;

/// Where each layer came from. A baked layer is one of the record; it is a pulled one from the
/// moment on when its blob was stored anew, or its snapshot was made anew without the blob that was
/// baked. Compares what is there with what was there before; where nothing was known before (the
/// daemon has just started), with the time when things were stored. Pure state.
class LayerOrigins {
  public:
    /// What was stored from `uncounted_since` on is not in the ledger yet, and baked layers among
    /// it (unless they were stored by their bake) were pulled; but for what an earlier run of the
    /// daemon had settled. Its last news were of `looked_until`.
    void open(Time uncounted_since, Time looked_until);
    /// What an earlier run of the daemon knew: baked layers that were pulled, and what was settled.
    void load(const v1::Ledger& stored);
    /// `looked_until` is when the last news came. Before all_listed() something older may be new.
    void store(v1::Ledger& out, Time looked_until) const;
    /// Every namespace was learnt since open().
    void all_listed() { is_all_listed_ = true; }
    /// They were another machine's.
    void forget_pulls();

    void set_record(const v1::BakeRecord& record);
    /// The layers of an image that counts as baked without being in the record.
    void add_baked(const CatalogImage& image);

    void learn_blob(const std::string& ns, const oci::Digest& digest, Time stored_at);
    /// What is known to be younger than this news stays: a listing has overtaken it.
    void forget_blob(const std::string& ns, const oci::Digest& digest, Time at);
    enum class Committer { prebake, other };
    void learn_commit(const std::string& ns, const oci::Digest& chain, Committer committer,
                      Time at);
    /// As forget_blob().
    void forget_chain(const std::string& ns, const oci::Digest& chain, Time at);
    void learn_all(const store::Holdings& holdings);
    /// Baked layers are as they should be, just as they are now.
    void restored(const store::Holdings& holdings);

    bool has_chain(const std::string& ns, const oci::Digest& chain) const;
    bool is_baked(const std::string& ns, const ImageLayer& layer) const;
    /// Layers of the image that were pulled since the last call become pulled ones. Returns their
    /// bytes, each layer once over all images and namespaces for as long as it is on the disk.
    struct Pulled {
        std::uint64_t bytes = 0;
        bool any = false;
    };
    Pulled take_pulled(const CatalogImage& image);
    /// The bytes that were pulled for the image are in the ledger already.
    void note_counted(const CatalogImage& image);

    /// A baked layer or snapshot of the image went away and did not come back.
    bool has_lost(const CatalogImage& image) const;
    void forget_lost(const CatalogImage& image);

  private:
    struct Blob {
        Time stored_at{};
        bool is_fresh = false;  ///< pulled, and for which image is not settled
    };
    struct Chain {
        Time made_at{};
        bool is_fresh = false;  ///< as above
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

    bool is_there(const oci::Digest& digest, const Space* except = nullptr) const;
    bool is_of_bake(const oci::Digest& digest, Time at) const;
    bool is_chain_of_bake(const Space& space, const oci::Digest& chain, Time at) const;
    std::vector<std::pair<Time, oci::Digest>> settled_since(Time since) const;
    bool was_settled(const oci::Digest& part, Time at) const;
    bool is_late(const oci::Digest& digest, Time at) const;
    bool is_fresh_chain(const Space& space, const oci::Digest& chain) const;
    void set_pulled(Space& space, const oci::Digest& digest);
    void learn_chain(Space& space, const oci::Digest& chain, Time made_at);
    void drop_chain(Space& space, const oci::Digest& chain);
    enum class Trace { blob, chain };  ///< what tells of a pull
    bool count_pull(const ImageLayer& layer, Trace trace);
    void uncount_if_gone(const oci::Digest& digest);

    std::map<std::string, Space, std::less<>> spaces_;
    oci::DigestMap<BakedLayer> baked_;
    oci::DigestSet pulled_anywhere_;  ///< baked layers
    oci::DigestSet known_pulled_;     ///< of these, those that an earlier run of the daemon saw
    struct CountedPull {
        bool has_lost_blob = false;  ///< should it be stored again, it was pulled again
    };
    oci::DigestMap<CountedPull> counted_pulls_;
    oci::DigestMap<oci::Digest>
        counted_chains_;            ///< -> the layer in counted_pulls_ that it is made of
    oci::DigestMap<Time> settled_;  ///< blobs and chains, by an earlier run of the daemon
    Time uncounted_since_{};
    Time looked_until_{};
    bool is_all_listed_ = false;
};

}  // namespace prebake::ledger
