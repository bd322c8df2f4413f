#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/timestamp.h"
#include "agent/ledger/catalog.h"
#include "agent/ledger/disk_warmth.h"
#include "agent/ledger/layer_origins.h"
#include "agent/ledger/ledger_totals.h"
#include "agent/ledger/pending_starts.h"
#include "agent/ledger/usage.h"
#include "agent/oci/digest.h"
#include "agent/store/baked_images.h"
#include "agent/store/holdings.h"
#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

/// An image as it is in one namespace.
struct SeenImage {
    std::string ns;
    std::string name;
    v1::BakedImage contents;  ///< of store::describe_stored()
    /// Layer digest -> when its blob was stored; layers without a blob are left out.
    std::map<std::string, Time> blobs;
};

/// A container, as a listing finds it.
struct ListedContainer {
    std::string snapshot_key;
    std::string image;         ///< the name that its client gave; may be empty
    bool has_started = false;  ///< its process runs, or has run
};

/// What a prepared snapshot is.
enum class Prepared {
    for_container,  ///< task_started() counts it
    not_a_start,    ///< for an unpacking, on top of a container's own, or counted before
    /// The parent may be the top layer of an image, but no image with it is known. Call
    /// image_appeared() if there is one, then report the snapshot again; else it is no start.
    on_unknown_image,
};

/// Whether CRI prepared the snapshot to mount an image as a volume of a pod. No process starts in
/// it: the mount counts as the start. Pure.
bool is_image_volume(std::string_view snapshot_key);

/// Turns containerd's events into the ledger: knows which images there are and where their layers
/// came from, and counts container starts. A start is a process that starts in a container whose
/// snapshot was prepared on top of the last layer of a known image; each snapshot counts once. Of
/// several images with this layer it is the one that the container names. It is a hit if the image
/// was baked and none of its layers was pulled since, partial if some layers come from the bake,
/// else a miss. No I/O; not thread-safe.
class Accounts {
  public:
    /// `stored` is what read_ledger() returned; may be empty.
    explicit Accounts(const v1::LedgerState& stored);

    /// Sets the owner and the boot of all counts from now on. The stored counts of another claim
    /// are dropped, because they belong to another machine; those of another boot stay in
    /// since_claim. `booted_at` is when the kernel started, by the current clock.
    void open(const std::string& claim, const std::string& boot_id, Time booted_at, Time now);

    /// What was baked; call it again after each change. The sandbox image counts as baked even if
    /// it is not recorded, if it was there before the first event about it.
    void set_baked(std::shared_ptr<const store::BakedImages> baked);

    /// Everything that one namespace holds; events continue from there. Counts running containers
    /// that no event reported: those started during a gap or, in a new ledger, since the boot.
    /// Returns their number. Containers of unknown images are not counted, so call
    /// image_appeared() first for every image of the listing that is_news().
    std::size_t relist(const store::Holdings& holdings,
                       const std::vector<ListedContainer>& containers, Time now);
    /// Call it after relist() of the last namespace.
    void all_listed();

    /// Whether image_appeared() must be called: the name is new, or points to another image.
    bool is_news(const std::string& ns, const std::string& name, const std::string& target) const;
    /// Somebody created or updated a name of an image, by a pull or by hand. Finds out which layers
    /// were pulled for it (blobs that no namespace had before), and why. `at` is the time of the
    /// event; nothing if a listing found the image.
    void image_appeared(const SeenImage& seen, std::optional<Time> at);
    void image_gone(const std::string& ns, const std::string& name);

    Prepared snapshot_prepared(const std::string& ns, const std::string& key,
                               const std::string& parent);
    /// A container with this snapshot was created. `image` is the name that it gives. `at`: nothing
    /// if it is not known.
    void container_created(const std::string& ns, const std::string& key, const std::string& image,
                           std::optional<Time> at);
    /// Whether a container with this snapshot has yet to start.
    bool awaits_start(const std::string& ns, const std::string& key) const {
        return pending_.find(ns, key) != nullptr;
    }
    /// The process of a container with this snapshot was started: counts it if it awaits_start().
    void task_started(const std::string& ns, const std::string& key, Time at);
    void snapshot_committed(const std::string& ns, const std::string& key, const std::string& name,
                            Time at);
    void snapshot_removed(const std::string& ns, const std::string& key, Time at);
    void blob_deleted(const std::string& ns, const std::string& digest, Time at);

    /// The disk of the images, for the times of first starts; nothing: it is not known, or it does
    /// not load lazily.
    void set_warmth(const std::optional<DiskWarmth>& warmth) { warmth_ = warmth; }

    /// prebake itself restored these parts of baked images from the disk: they count as baked.
    void restored(const store::Holdings& holdings);
    /// prebake pinned the image of this name again.
    void repinned(const std::string& ns, const std::string& name);

    /// No events came from `from` to `to`; relist() found `found` starts afterwards.
    void mark_gap(Time from, Time to, const std::string& cause, std::size_t found);

    /// True once after each change: the file and the reports are out of date.
    bool take_changed() { return std::exchange(has_changed_, false); }
    /// For the file.
    v1::LedgerState state() const;
    /// For people: with ratios and never_used.
    v1::Ledger report() const;
    /// How much a baked image was used.
    ImageUsage usage(const store::ImageKey& key) const;

  private:
    bool is_counted(const std::string& ns, const std::string& key) const;
    bool is_unpacked(const CatalogImage& image) const;
    bool has_pulled_layer(const CatalogImage& image) const;
    void count(const CatalogImage& image, Time at);
    bool count_start(const std::string& ns, const std::string& key, Time at);
    std::size_t count_listed(const store::Holdings& holdings,
                             const std::vector<ListedContainer>& containers, Time now);
    void retain_counted(const store::Holdings& holdings);
    void settle_listed(CatalogImage& image);
    void credit_stored(const CatalogImage& image);
    void consider_sandbox();
    void explain(CatalogImage& image, std::string_view reason, bool has_pulled);
    void note_pull(const CatalogImage& image, Time at, std::uint64_t bytes, std::uint64_t pulls);
    bool is_named_by_bake(const CatalogImage& image, Time at) const;
    void take_back_pulls_of(const store::PlacedImage& baked);
    void touch(Time time);
    bool is_unused_in_boot(const CatalogImage& image) const;
    void note_first_start(const CatalogImage& image, Time created_at, Time at);

    LedgerTotals totals_;
    std::shared_ptr<const store::BakedImages> baked_;
    Catalog catalog_;
    LayerOrigins origins_;
    PendingStarts pending_;
    /// Of the last hours: a bake that runs on a node is known as one only when it has ended.
    struct RecentPull {
        store::ImageKey key;
        std::string digest;
        Time at{};
        std::uint64_t bytes = 0;
        std::uint64_t pulls = 0;
    };
    std::deque<RecentPull> recent_pulls_;
    oci::DigestSet credited_;  ///< baked layers whose bytes are counted as served
    oci::DigestSet credited_in_boot_;
    /// The stored ledger is of an old version, which did not list the layers of the boot.
    bool is_boot_credit_unknown_ = false;
    std::string sandbox_;                  ///< CRI's name for it
    std::optional<Time> uncounted_since_;  ///< of the stored ledger
    Time looked_until_{};                  ///< goes back if the clock is set back
    std::optional<Time> counting_since_;   ///< in a new ledger: the boot
    Time booted_at_{};
    std::optional<DiskWarmth> warmth_;
    bool has_changed_ = false;
};

}  // namespace prebake::ledger
