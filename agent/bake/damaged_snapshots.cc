#include "agent/bake/damaged_snapshots.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/timestamp.h"
#include "agent/containerd/content.h"
#include "agent/containerd/leases.h"
#include "agent/containerd/snapshots.h"
#include "agent/oci/digest.h"
#include "agent/store/labels.h"
#include "agent/store/snapshot_use.h"
#include "agent/store/store_view.h"

namespace prebake::bake {
namespace {

/// Where the snapshots are: namespace and snapshotter.
using Place = std::pair<std::string, std::string>;

template <typename ChainIds>
bool has_any(const v1::BakedImage& image, const ChainIds& chain_ids) {
    return std::ranges::any_of(image.layers(), [&](const v1::Layer& layer) {
        return std::ranges::find(chain_ids, layer.chain_id()) != chain_ids.end();
    });
}

/// Keeps snapshots in one namespace while nothing else refers to them. Made on first use.
class KeepingLease {
  public:
    KeepingLease(const containerd::Connection& connection, const std::string& ns)
        : leases_(connection, ns) {}
    ~KeepingLease() {
        try {
            if (!id_.empty()) leases_.remove(id_);
        } catch (const Error&) {
            return;  // it expires
        }
    }
    KeepingLease(const KeepingLease&) = delete;
    KeepingLease& operator=(const KeepingLease&) = delete;

    void keep(const std::string& snapshotter, const std::string& name) {
        if (id_.empty()) {
            id_ = timestamped("prebake-repair-");
            leases_.create(id_, std::chrono::hours(1), {});
        }
        leases_.add_snapshot(id_, snapshotter, name);
    }

  private:
    containerd::Leases leases_;
    std::string id_;
};

/// Removes the damaged snapshots of one place.
class Removal {
  public:
    Removal(const v1::BakeRecord& record, const Place& place,
            const containerd::Connection& connection, EventSink& events)
        : record_(record),
          ns_(place.first),
          connection_(connection),
          snapshots_(connection, {.ns = place.first, .lease = {}}, place.second),
          baked_(store::chains_in(record, place.first)),
          events_(events),
          view_(connection),
          held_(view_.holdings(place.first, place.second)),
          lease_(connection, place.first) {}

    /// The lowest first: what stands on a snapshot goes with it. And what is kept to stand on is
    /// then not to be removed later.
    void remove_all(std::vector<std::string> chain_ids) {
        std::ranges::stable_sort(
            chain_ids, {}, [this](const std::string& chain_id) { return depth_of(chain_id); });
        for (const std::string& chain_id : chain_ids) remove(chain_id);
    }

    /// True if restore() has to complete the image again.
    bool concerns(const v1::BakedImage& image) const {
        return store::is_unpacked_in(image, ns_) &&
               (has_any(image, removed_) || has_any(image, to_label_));
    }

  private:
    std::size_t depth_of(const std::string& snapshot) const {
        std::size_t depth = 0;
        for (auto at = held_.snapshots.find(snapshot); at != held_.snapshots.end();
             at = held_.snapshots.find(at->second.parent)) {
            ++depth;
        }
        return depth;
    }

    void remove(const std::string& chain_id) {
        if (removed_.contains(chain_id) || !held_.snapshots.contains(chain_id)) return;
        const store::Dependents dependents =
            store::dependents_of(chain_id, held_.snapshots, baked_);
        if (!dependents.are_replaceable()) {
            return keep(chain_id, "it is used by " + store::users_text(dependents) + "; " +
                                      store::how_to_free(dependents));
        }
        const std::string lost = lost_layer(dependents);
        if (!lost.empty()) {
            return keep(chain_id, "the layer " + lost +
                                      ", which it would be unpacked from, is "
                                      "not on this disk");
        }
        for (const std::string& name : dependents.baked) {
            if (removed_.contains(name)) continue;
            try {
                snapshots_.remove(name);
                removed_.insert(name);
            } catch (const Error& error) {
                if (error.code() != Errc::failed_precondition) throw;
                return collect(chain_id, dependents.baked);
            }
        }
    }

    /// containerd's collector forgets to tell a snapshot that something which stood on it is gone.
    /// Then only the collector removes that snapshot, too, once nothing refers to it. It also sees
    /// a container that was created since we looked.
    void collect(const std::string& chain_id, const std::vector<std::string>& to_remove) {
        const std::string& below = held_.snapshots.at(chain_id).parent;
        if (!below.empty()) lease_.keep(snapshots_.snapshotter(), below);
        const containerd::Content content(connection_, {.ns = ns_, .lease = {}});
        const std::string label = store::snapshot_gc_label(snapshots_.snapshotter());
        for (const v1::BakedImage& image : record_.images()) {
            const oci::Digest config = oci::Digest::parse(image.config().digest());
            if (store::is_unpacked_in(image, ns_) && has_any(image, to_remove) &&
                content.info(config)) {
                content.set_labels(config, {{label, ""}});
            }
        }
        containerd::Leases(connection_, ns_).collect_garbage();
        std::set<std::string> left;
        for (const containerd::SnapshotInfo& one : snapshots_.list()) left.insert(one.name);
        for (const std::string& name : to_remove) {
            if (!left.contains(name)) removed_.insert(name);
        }
        if (left.contains(chain_id)) {
            keep(chain_id,
                 "containerd still has a reference to it, of another image, a container "
                 "or a lease");
        }
        to_label_.insert(to_remove.begin(), to_remove.end());
    }

    void keep(const std::string& chain_id, const std::string& why) {
        notice(events_, name_of(chain_id),
               "its damaged snapshot " + chain_id + " is not unpacked again: " + why);
    }

    /// An image that has the snapshot.
    std::string name_of(const std::string& chain_id) const {
        for (const v1::BakedImage& image : record_.images()) {
            for (const v1::Layer& layer : image.layers()) {
                if (layer.chain_id() == chain_id) return image.name();
            }
        }
        return {};
    }

    /// A layer of the snapshots that the namespace does not have; empty if it has all.
    std::string lost_layer(const store::Dependents& dependents) const {
        for (const v1::BakedImage& image : record_.images()) {
            if (!store::is_unpacked_in(image, ns_)) continue;
            for (const v1::Layer& layer : image.layers()) {
                if (std::ranges::find(dependents.baked, layer.chain_id()) ==
                    dependents.baked.end()) {
                    continue;
                }
                const auto blob = held_.blobs.find(layer.digest());
                if (blob == held_.blobs.end() || !view_.is_readable(ns_, blob->second)) {
                    return layer.digest();
                }
            }
        }
        return {};
    }

    const v1::BakeRecord& record_;
    std::string ns_;
    const containerd::Connection& connection_;
    containerd::Snapshots snapshots_;
    std::set<std::string> baked_;
    EventSink& events_;
    store::StoreView view_;
    const store::Holdings& held_;
    KeepingLease lease_;
    std::set<std::string> removed_;
    std::set<std::string> to_label_;  // nothing refers to these, if they are still there
};

}  // namespace

std::size_t replace_damaged(const BakeLock&, const v1::BakeRecord& record,
                            const std::vector<DamagedSnapshot>& damaged,
                            const containerd::Connection& connection, EventSink& events,
                            const std::function<void(const v1::BakedImage&)>& restore) {
    std::map<Place, std::vector<std::string>> by_place;
    for (const DamagedSnapshot& one : damaged) {
        by_place[{one.ns, one.snapshotter}].push_back(one.chain_id);
    }
    std::vector<std::unique_ptr<Removal>> removals;
    for (const auto& [place, chain_ids] : by_place) {
        // What only waits to be collected uses nothing.
        containerd::Leases(connection, place.first).collect_garbage();
        removals.push_back(std::make_unique<Removal>(record, place, connection, events));
        removals.back()->remove_all(chain_ids);
    }
    std::size_t restored = 0;
    for (const v1::BakedImage& image : record.images()) {
        const bool is_concerned = std::ranges::any_of(
            removals, [&](const auto& removal) { return removal->concerns(image); });
        if (!is_concerned) continue;
        restore(image);
        ++restored;
    }
    return restored;
}

}  // namespace prebake::bake
