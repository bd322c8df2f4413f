#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/timestamp.h"
#include "agent/store/holdings.h"
#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

/// An image as it is in one namespace.
struct SeenImage {
    std::string ns;
    std::string name;
    v1::BakedImage contents;  ///< of store::describe_stored()
    std::map<std::string, Time>
        blobs;  ///< layer digest -> when it was stored; of those that are there
};

/// What became of a prepared snapshot.
enum class StartOutcome {
    counted,        ///< a container start
    not_a_start,    ///< an unpacking, a snapshot upon a container's own, a start that was counted
                    ///< before
    unknown_image,  ///< the parent looks like an image's chain, and no image of it is known: no
                    ///< start either, unless image_appeared() is told of one and it is asked again
};

/// Keeps the ledger: knows the images and where their layers came from, and turns containerd's
/// events into counts. One container start is one snapshot that is prepared upon the top chain of
/// an image that is known. A start is a hit when all layers of its image come from the bake
/// untouched, partial when some do, else a miss. Plain state without I/O; not thread-safe.
class Accounts {
  public:
    /// `stored` is what read_ledger() found, or an empty ledger.
    explicit Accounts(const v1::Ledger& stored);
    ~Accounts();
    Accounts(const Accounts&) = delete;
    Accounts& operator=(const Accounts&) = delete;

    /// Says whose counts these are from now on, and of which boot. The counts of another claim are
    /// dropped, they are another machine's; those of another boot stay in since_claim. `booted_at`
    /// is when the kernel started, by the clock of now.
    void open(const std::string& claim, const std::string& boot_id, Time booted_at, Time now);

    /// What was baked. May come again, with more.
    void set_record(const v1::BakeRecord& record);
    /// CRI's sandbox image counts as baked if it was there before any event spoke of it.
    void set_sandbox(const std::string& name);

    /// Everything that one namespace holds: the state from which events go on. Containers that run
    /// and were not counted are: those that came during a gap, or (in a new ledger) since the boot.
    /// Returns how many. Containers of unknown images are left out, so what is_news() in the same
    /// listing goes to image_appeared() first.
    std::size_t relist(const store::Holdings& holdings, Time now);
    /// That was the last of all namespaces.
    void all_listed();

    /// Whether image_appeared() should be told of it: its name is new, or pointed elsewhere.
    bool is_news(const std::string& ns, const std::string& name, const std::string& target) const;
    /// Somebody else named an image, or named it anew: after a pull, or by hand. Works out which of
    /// its layers were pulled for it (new blobs that no namespace had before), and why. `at` is the
    /// event's time; nothing for what a listing found.
    void image_appeared(const SeenImage& image, std::optional<Time> at);
    void image_gone(const std::string& ns, const std::string& name);

    StartOutcome snapshot_prepared(const std::string& ns, const std::string& key,
                                   const std::string& parent, Time at);
    void snapshot_committed(const std::string& ns, const std::string& key, const std::string& name,
                            Time at);
    void snapshot_removed(const std::string& ns, const std::string& key, Time at);
    void blob_deleted(const std::string& ns, const std::string& digest, Time at);

    /// We ourselves made a baked image whole again from this disk: it counts as untouched.
    void restored(const store::Holdings& holdings);
    void repinned(const std::string& ns, const std::string& name);

    /// `found` starts were counted by relist() after it.
    void mark_gap(Time from, Time to, const std::string& cause, std::size_t found);

    /// True once after each change: the file and the reports are out of date.
    bool take_changed();
    /// For the file.
    v1::Ledger stored() const;
    /// For people: with ratios, never_used, without `counted`.
    v1::Ledger report() const;

    struct Usage {
        std::uint64_t starts = 0;
        Time last_used{};
    };
    /// Of a baked image, by the name in the record. For those who choose what to unpin.
    Usage usage(const std::string& ns, const std::string& name) const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace prebake::ledger
