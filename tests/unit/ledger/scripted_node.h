#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/json.h"
#include "agent/ledger/accounts.h"
#include "agent/oci/digest.h"

namespace prebake::tests {

using containerd::SnapshotKind;
using ledger::Accounts;
using ledger::Prepared;
using ledger::SeenImage;
using std::chrono::seconds;

inline std::string digest(const std::string& what) {
    return oci::Digest::of(what).str();
}

/// An image: its name, and the names and sizes of its layers, bottom first.
struct Spec {
    std::string name;
    std::vector<std::pair<std::string, std::uint64_t>> layers;
    std::string entrypoint = {};  ///< images with the same layers and another one are two images

    v1::BakedImage contents() const {
        v1::BakedImage image;
        image.set_name(name);
        image.set_platform("linux/amd64");
        std::string stack = entrypoint;
        for (const auto& layer : layers) stack += "/" + layer.first;
        image.mutable_target()->set_digest(digest("index of " + stack));
        image.mutable_manifest()->set_digest(digest("manifest of " + stack));
        image.mutable_config()->set_digest(digest("config of " + stack));
        std::string chain;
        for (const auto& [layer, size] : layers) {
            chain += "/" + layer;
            v1::Layer& entry = *image.add_layers();
            entry.set_digest(digest(layer));
            entry.set_size(size);
            entry.set_chain_id(digest("chain " + chain));
        }
        image.set_chain_id(image.layers().rbegin()->chain_id());
        return image;
    }
    std::vector<v1::Layer> parts() const {
        const v1::BakedImage image = contents();
        return {image.layers().begin(), image.layers().end()};
    }
    std::string target() const { return contents().target().digest(); }
    std::string top() const { return contents().chain_id(); }
};

/// A small containerd, which reports to its accounts what happens in it, as the daemon does.
class ScriptedNode {
  public:
    static constexpr const char* kCri = "k8s.io";

    explicit ScriptedNode(v1::LedgerState stored = {})
        : accounts(std::make_unique<Accounts>(std::move(stored))) {}

    Time tick(seconds by = seconds(1)) { return now += by; }

    void bake(const Spec& spec, const std::vector<std::string>& namespaces = {kCri},
              bool is_kept = true) {
        for (const std::string& ns : namespaces) put(ns, spec, is_kept);
        add_to_record(spec, namespaces, is_kept);
    }
    /// A bake of the image ends now. Valid until the next call.
    v1::BakedImage& add_to_record(const Spec& spec,
                                  const std::vector<std::string>& namespaces = {kCri},
                                  bool is_kept = true) {
        v1::BakedImage& image = *record.add_images();
        image = spec.contents();
        for (const std::string& ns : namespaces) {
            v1::Placement& placement = *image.add_placements();
            placement.set_namespace_(ns);
            placement.add_names(spec.name);
            placement.set_layers_kept(is_kept);
            placement.set_unpacked(true);
        }
        *image.mutable_baked_at() = to_timestamp(now);
        return image;
    }
    /// Adds an image without events.
    void put(const std::string& ns, const Spec& spec, bool has_blobs = true) {
        Store& store = stores[ns];
        store.images[spec.name] = spec;
        for (const v1::Layer& layer : spec.parts()) {
            if (has_blobs) store.blobs.emplace(layer.digest(), now);
            store.snapshots.emplace(layer.chain_id(), Snapshot{.at = now});
        }
    }

    void boot(const std::string& claim = "i-1", const std::string& boot_id = "boot-1") {
        booted_at = tick(seconds(100));
        claim_ = claim;
        boot_id_ = boot_id;
        tick();
        attach();
    }
    std::size_t attach() {
        accounts->open(claim_, boot_id_, booted_at, now);
        set_baked();
        return relist();
    }
    /// Passes the record to the accounts again, and CRI's name for its sandbox image.
    void set_baked() {
        accounts->set_baked(std::make_shared<const store::BakedImages>(
            record, store::SandboxImage{.name = sandbox, .found = {}}));
    }
    /// The daemon stops, and starts again with its file.
    std::size_t restart() {
        v1::LedgerState read;
        from_json(to_json(accounts->state(), JsonForm::line), read, "ledger", "");
        accounts = std::make_unique<Accounts>(std::move(read));
        tick();
        return attach();
    }
    std::size_t relist() {
        std::size_t found = 0;
        for (auto& [ns, store] : stores) {
            for (const auto& [name, spec] : store.images) {
                if (accounts->is_news(ns, name, spec.target())) {
                    accounts->image_appeared(seen(ns, spec), std::nullopt);
                }
            }
            found += accounts->relist(holdings(ns), containers(ns), now);
        }
        accounts->all_listed();
        loses_events = false;
        return found;
    }

    /// Like containerd's clients: fetches the layers without a snapshot. Returns their digests.
    std::set<std::string> pull(const std::string& ns, const Spec& spec) {
        Store& store = stores[ns];
        std::set<std::string> fetched;
        for (const v1::Layer& layer : spec.parts()) {
            if (store.snapshots.contains(layer.chain_id())) continue;
            const bool is_there = std::any_of(stores.begin(), stores.end(), [&](const auto& entry) {
                return entry.second.blobs.contains(layer.digest());
            });
            if (!is_there) fetched.insert(layer.digest());
            tick();
            store.blobs.emplace(layer.digest(), now);
            unpack(ns, layer.chain_id(), "extract-1-abcd " + layer.chain_id());
            if (const auto happens = on_layer) happens();  // a copy: it may replace on_layer
        }
        if (drops == Drops::before_the_name) drop_blobs(ns, spec);
        store.images[spec.name] = spec;
        tick();
        if (!loses_events) accounts->image_appeared(seen(ns, spec), now);
        if (drops == Drops::after_the_name) drop_blobs(ns, spec);
        return fetched;
    }
    void drop_blobs(const std::string& ns, const Spec& spec) {
        tick();
        for (const v1::Layer& layer : spec.parts()) {
            if (stores[ns].blobs.erase(layer.digest()) == 0 || loses_events) continue;
            accounts->blob_deleted(ns, layer.digest(), now);
        }
    }
    /// As a bake that repairs the image: its blobs are stored again, and no name changes.
    void store_again(const std::string& ns, const Spec& spec) {
        drop_blobs(ns, spec);
        for (const v1::Layer& layer : spec.parts()) {
            stores[ns].blobs.emplace(layer.digest(), tick());
        }
    }
    void unpack(const std::string& ns, const std::string& chain, const std::string& key) {
        stores[ns].snapshots.emplace(chain, Snapshot{.at = now});
        if (!loses_events) accounts->snapshot_committed(ns, key, chain, now);
    }

    /// Deletes the name, then everything that nothing refers to.
    void remove(const std::string& ns, const Spec& spec) {
        tick();
        stores[ns].images.erase(spec.name);
        if (!loses_events) accounts->image_gone(ns, spec.name);
        collect(ns);
    }
    void collect(const std::string& ns) {
        Store& store = stores[ns];
        std::set<std::string> used_blobs;
        std::set<std::string> used_chains;
        std::vector<Spec> users;
        for (const auto& [name, spec] : store.images) users.push_back(spec);
        const std::size_t images = users.size();
        for (const auto& [key, user] : store.containers) users.push_back(user);
        for (std::size_t i = 0; i < users.size(); ++i) {
            for (const v1::Layer& layer : users[i].parts()) {
                if (i < images) used_blobs.insert(layer.digest());
                used_chains.insert(layer.chain_id());
            }
        }
        for (auto blob = store.blobs.begin(); blob != store.blobs.end();) {
            if (used_blobs.contains(blob->first)) {
                ++blob;
                continue;
            }
            if (!loses_events) accounts->blob_deleted(ns, blob->first, now);
            blob = store.blobs.erase(blob);
        }
        for (auto snapshot = store.snapshots.begin(); snapshot != store.snapshots.end();) {
            const bool is_used = snapshot->second.kind != SnapshotKind::committed ||
                                 used_chains.contains(snapshot->first);
            if (is_used || !snapshot->second.parent.empty()) {
                ++snapshot;
                continue;
            }
            if (!loses_events) accounts->snapshot_removed(ns, snapshot->first, now);
            snapshot = store.snapshots.erase(snapshot);
        }
    }

    /// Creates a container of the image, which does not run yet.
    Prepared create(const std::string& ns, const Spec& spec, const std::string& key) {
        tick();
        stores[ns].snapshots[key] = {.at = now, .kind = SnapshotKind::active, .parent = spec.top()};
        stores[ns].containers[key] = spec;
        stores[ns].started.erase(key);
        if (loses_events) return Prepared::not_a_start;
        const Prepared prepared = accounts->snapshot_prepared(ns, key, spec.top());
        accounts->container_created(ns, key, spec.name, now);
        return prepared;
    }
    void run(const std::string& ns, const std::string& key) {
        stores[ns].started.insert(key);
        if (!loses_events) accounts->task_started(ns, key, now);
    }
    Prepared start(const std::string& ns, const Spec& spec, const std::string& key) {
        const Prepared prepared = create(ns, spec, key);
        run(ns, key);
        return prepared;
    }
    /// `key` by value: it may be a reference to the key that is deleted.
    void stop(const std::string& ns, std::string key) {
        tick();
        stores[ns].snapshots.erase(key);
        stores[ns].containers.erase(key);
        stores[ns].started.erase(key);
        if (!loses_events) accounts->snapshot_removed(ns, key, now);
    }

    bool is_used(const std::string& ns, const Spec& spec) const {
        const auto& containers = stores.at(ns).containers;
        return std::any_of(containers.begin(), containers.end(), [&](const auto& container) {
            return container.second.name == spec.name;
        });
    }

    SeenImage seen(const std::string& ns, const Spec& spec) {
        SeenImage image{.ns = ns, .name = spec.name, .contents = spec.contents(), .blobs = {}};
        for (const v1::Layer& layer : image.contents.layers()) {
            const auto blob = stores[ns].blobs.find(layer.digest());
            if (blob != stores[ns].blobs.end()) image.blobs.insert(*blob);
        }
        return image;
    }
    std::vector<ledger::ListedContainer> containers(const std::string& ns) {
        std::vector<ledger::ListedContainer> listed;
        for (const auto& [key, spec] : stores[ns].containers) {
            listed.push_back({.snapshot_key = key,
                              .image = spec.name,
                              .has_started = stores[ns].started.contains(key)});
        }
        return listed;
    }
    store::Holdings holdings(const std::string& ns) {
        store::Holdings holdings{
            .ns = ns, .snapshotter = "overlayfs", .images = {}, .blobs = {}, .snapshots = {}};
        for (const auto& [name, spec] : stores[ns].images) {
            holdings.images.emplace(
                name, containerd::Image{.name = name,
                                        .labels = {},
                                        .target = {.media_type = "",
                                                   .digest = oci::Digest::parse(spec.target()),
                                                   .size = 1,
                                                   .annotations = {},
                                                   .platform = {}}});
        }
        for (const auto& [blob, at] : stores[ns].blobs) {
            holdings.blobs.emplace(
                blob,
                containerd::BlobInfo{
                    .digest = oci::Digest::parse(blob), .size = 1, .labels = {}, .created_at = at});
        }
        for (const auto& [key, snapshot] : stores[ns].snapshots) {
            holdings.snapshots.emplace(key, containerd::SnapshotInfo{.name = key,
                                                                     .parent = snapshot.parent,
                                                                     .kind = snapshot.kind,
                                                                     .labels = {},
                                                                     .created_at = snapshot.at});
        }
        return holdings;
    }

    v1::LedgerImage entry(const Spec& spec, const std::string& ns = kCri) const {
        const v1::Ledger ledger = accounts->report();
        for (const v1::LedgerImage& image : ledger.images()) {
            if (image.name() == spec.name && image.namespace_() == ns &&
                image.digest() == spec.target()) {
                return image;
            }
        }
        return {};
    }
    v1::Totals totals() const { return accounts->report().since_claim(); }

    /// When the garbage collector deletes blobs, with containerd's discard_unpacked_layers.
    enum class Drops { nothing, before_the_name, after_the_name };

    struct Snapshot {
        Time at{};
        containerd::SnapshotKind kind = containerd::SnapshotKind::committed;
        std::string parent = {};  ///< of containers
    };
    struct Store {
        std::map<std::string, Spec> images;
        std::map<std::string, Time> blobs;
        std::map<std::string, Snapshot> snapshots;
        std::map<std::string, Spec> containers;  ///< by the key of their snapshot
        std::set<std::string> started;           ///< the same keys
    };

    std::unique_ptr<Accounts> accounts;
    v1::BakeRecord record;
    std::string sandbox;
    std::map<std::string, Store> stores;
    Time now = Time(seconds(1'700'000'000));
    Time booted_at{};
    Drops drops = Drops::nothing;
    std::function<void()> on_layer;  ///< called after each layer of a pull
    bool loses_events = false;       ///< events are lost until the next relist()

  private:
    std::string claim_;
    std::string boot_id_;
};

}  // namespace prebake::tests
